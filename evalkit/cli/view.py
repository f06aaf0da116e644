"""`evalkit view`: the folder of runs in a browser, while gates run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from evalkit.cli.common import InLang, tell
from evalkit.cli.runs import RUNS
from evalkit.errors import UserError


def view(
    runs: RUNS = Path("runs"),
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8081,
    lang: InLang = "en",
) -> None:
    """Show all runs in a browser, follow a gate that runs, compare any two.

    The pages are those of `evalkit report`, made when they are asked for. It only reads, and
    listens on the loopback alone.
    """
    from evalkit.serving.app import NOT_HERE, run_app

    try:
        from evalkit.reports.html.live import HOSTS, view_app
    except ImportError as error:
        raise UserError(NOT_HERE) from error
    if not runs.is_dir():
        raise UserError(
            f"There is no folder {runs}. `pytest suites/ --model NAME` makes runs; --runs names "
            "another folder of them."
        )
    tell(f"{runs} on http://{HOSTS[0]}:{port} (Ctrl+C ends it)")
    run_app(view_app(runs, lang), HOSTS[0], port)
