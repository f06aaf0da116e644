"""What a session leaves behind: verdicts, pages, and what stands in the terminal."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.errors import EvidenceError, UserError, fault_of_the_machine
from evalkit.gates import verdict_in_words
from evalkit.printable import legible, printable
from evalkit.pytest_plugin.phases import measured_rate, phase_table, phases
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.reports.terminal import refused, release_report, release_screen, side_by_side
from evalkit.reports.verdicts import release_from_json
from evalkit.reports.writing import write_comparison, write_index, write_report
from evalkit.runs import home_of, read_verdicts, write_verdicts
from evalkit.systems import shown_path

if TYPE_CHECKING:
    from rich.console import RenderableType

    from evalkit.evaluation import Evaluation
    from evalkit.gates import Release
    from evalkit.pytest_plugin.run_cache import RunCache


def store_verdicts(folder: Path, content: dict[str, Any], evaluation: Evaluation) -> JudgedRun:
    """Write the verdicts of a run; it is given as it is read back.

    So a report is the same whoever writes it.
    """
    try:
        write_verdicts(folder, content)
    except OSError as error:
        fault = fault_of_the_machine(error, [str(folder)])
        if fault is None:
            raise
        pytest.exit(legible(fault), returncode=pytest.ExitCode.USAGE_ERROR)
    return JudgedRun(folder, evaluation, release_from_json(content, evaluation))


def verdict_before(folder: Path) -> str:
    """What is stored as the verdict on a run, in words; empty where it was never judged."""
    try:
        found = read_verdicts(folder)
    except EvidenceError:
        return "a verdict that does not hold for what is there"
    if found is None:
        return ""
    return verdict_in_words(found["may_ship"], found["partial"])


def write_reports(judged: Sequence[JudgedRun], runs: Path) -> Iterator[str]:
    """A page for each run, one that compares them, and the index; what is where, in lines."""
    runs = home_of([run.folder for run in judged], runs)
    pages = [("report", partial(write_report, run)) for run in judged]
    if len(judged) > 1:
        pages.append(("comparison", partial(write_comparison, judged, runs)))
    if runs.is_dir():
        pages.append(("all runs", partial(write_index, runs)))
    for what, write in pages:
        try:
            yield f"{what}: {shown_path(write())}"
        except Exception as error:  # whatever it is, the verdict stands
            kind = "" if isinstance(error, UserError) else f"{type(error).__name__}: "
            yield f"{what}: not written. {kind}{printable(str(error), 500)}"


def is_brief(config: pytest.Config) -> bool:
    """Whether failed gates are told once, in the verdict: not with -v, -rA and the like."""
    option = config.option
    return not (option.verbose > 0 or option.reportchars != "fE" or option.tbstyle != "auto")


def show_releases(
    terminal: pytest.TerminalReporter,
    releases: Sequence[Release],
    judged: Mapping[str, JudgedRun],
    run_cache: RunCache,
    lines: Iterable[str],
) -> None:
    """May each system ship, and why not; every gate with -v; what was written where.

    Systems whose evidence was refused have no judged run.
    """
    width, config = terminal._tw.fullwidth, terminal.config

    def show(shown: Sequence[RenderableType]) -> None:
        terminal.write(to_text(shown, width, colour=terminal.hasmarkup))

    terminal.section("release gate")
    for release in releases:
        if (run := judged.get(release.system)) is None:
            show(refused(release))
        else:
            show(release_screen(run, width) if is_brief(config) else release_report(run))
    if config.option.durations is not None:
        asked = list(run_cache.asked())
        counting = [record for *_, record in asked if record.cost.operations]
        rate = measured_rate(counting[0].engine) if counting else None
        if table := phase_table(phases(asked), config.option.durations, rate):
            terminal.section("where the time went")
            show(to_terminal(table))
    both = [release for release in releases if release.system in judged]
    if len(both) > 1:
        terminal.section("side by side")
        show(side_by_side(both, [judged[release.system].evaluation for release in both]))
    terminal.write("".join(f"{line}\n" for line in lines))
