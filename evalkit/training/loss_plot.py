"""The loss curve that lies beside an adapter."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_loss(
    curve: Sequence[tuple[int, float]], dev_curve: Sequence[tuple[int, float]], path: Path
) -> None:
    """Draw the loss over the steps as a PNG."""
    # The figure's own canvas: pyplot would look for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*curve, strict=True), label="training", linewidth=1)
    if dev_curve:
        axes.plot(*zip(*dev_curve, strict=True), "o-", label="held-out rows")
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss per answer token (nats)")
    axes.legend()
    # Without the version, the same curve gives the same bytes.
    figure.savefig(path, dpi=100, metadata={"Software": None})
