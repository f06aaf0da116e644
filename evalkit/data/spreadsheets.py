"""Text in tables that people open in a spreadsheet, where a cell may be taken for a formula.

Anybody may have written a text. As OWASP's page on CSV injection advises, an apostrophe goes before
one that begins like a formula; whoever reads such a table takes it off again. A table of somebody
else's is read as it stands: an apostrophe there is part of the text.
"""

from __future__ import annotations

import re
from collections.abc import Collection

_LIKE_A_FORMULA = re.compile("'*[=+\\-@\t\r\n＝＋－＠]")
"""Apostrophes before it are counted in, so that each text has one form and each form one text."""
_WRITTEN = (("inputs.", "values."), ("input.", "corrected."))
"""What columns of `evalkit predict --out` and of `evalkit errors --csv` begin with."""


def inert(text: str) -> str:
    """Text that no spreadsheet takes for a formula."""
    return f"'{text}" if _LIKE_A_FORMULA.match(text) else text


def original(cell: str) -> str:
    """The text that `inert` made a cell of."""
    return cell[1:] if cell.startswith("'") and _LIKE_A_FORMULA.match(cell) else cell


def is_inert(columns: Collection[str]) -> bool:
    """Whether a table with these columns is one that evalkit wrote for spreadsheets."""
    return "id" in columns and any(
        all(any(name.startswith(start) for name in columns) for start in starts)
        for starts in _WRITTEN
    )
