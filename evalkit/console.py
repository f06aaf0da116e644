"""A console on which text stays text, whatever it holds."""

from __future__ import annotations

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from evalkit.printable import legible


class LegibleConsole(Console):
    """Styles and moves the cursor as it is told, and lets no text do so."""

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """Segments whose text is legible."""
        for segment in super().render(renderable, options):
            is_text = segment.control is None
            yield Segment(legible(segment.text), segment.style) if is_text else segment
