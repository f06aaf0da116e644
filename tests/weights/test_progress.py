from __future__ import annotations

import io

import pytest
from rich.console import Console

from evalkit.weights.progress import Spinner, stderr_progress


def test_one_plain_line_per_stage_off_a_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    with stderr_progress() as progress:
        progress.stage("downloading [bold]x[/bold]")
        progress.stage("converting")
    out, err = capsys.readouterr()
    assert out == ""
    assert err == "downloading [bold]x[/bold]\nconverting\n"


def test_a_terminal_gets_a_line_for_each_finished_stage() -> None:
    screen = io.StringIO()
    spinner = Spinner(Console(file=screen, width=80))
    spinner.stage("downloading [bold]x[/bold]")
    spinner.stage("converting")
    spinner.finish("stopped")
    assert "downloading [bold]x[/bold]: done (0.0 s)\n" in screen.getvalue()
    assert "converting: stopped (0.0 s)\n" in screen.getvalue()


def test_a_terminal_leaves_room_for_bars_of_others() -> None:
    screen = io.StringIO()
    spinner = Spinner(Console(file=screen, width=80, force_terminal=True))
    spinner.stage("downloading", bars=True)
    assert screen.getvalue() == "downloading\n"
    assert spinner._status is None
