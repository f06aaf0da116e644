from __future__ import annotations

from pathlib import Path

from evalkit.training.loss_plot import plot_loss


def test_the_same_curve_gives_the_same_picture(tmp_path: Path):
    pictures = []
    for name in ("one.png", "two.png"):
        plot_loss([(10, 2.0), (20, 0.5)], [(20, 0.7)], tmp_path / name)
        pictures.append((tmp_path / name).read_bytes())
    assert pictures[0] == pictures[1]
