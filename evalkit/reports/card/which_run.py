"""Which run a model card may show: a whole judged one, of the very files on the shelf."""

from __future__ import annotations

from pathlib import Path

from evalkit.errors import UserError
from evalkit.gates import criteria_in_force
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.runs import find_run, read_record, read_subject, run_folders
from evalkit.runs.same_system import changed_since
from evalkit.systems import System, shown_path


def find_card_run(system: System, runs: Path, named: str | None = None) -> JudgedRun:
    """The newest whole judged run of the system as it lies on the shelf, or the one named.

    Raises:
        UserError: there is none, or the one named is not fit.
    """
    if named is not None:
        return _fit(system, find_run(named, runs))
    refused: list[str] = []
    for folder in reversed(run_folders(runs)):
        if not _is_of(system, folder):
            continue
        try:
            return _fit(system, folder)
        except UserError as error:
            refused.append(str(error))
    judge = f"`pytest suites/ --model {system.argument}` judges it."
    if not refused:
        raise UserError(f"There is no run of {system.name} in {shown_path(runs)}/. {judge}")
    more = f" (And {len(refused) - 1} older runs.)" if len(refused) > 1 else ""
    raise UserError(f"No run can go on the card. The newest: {refused[0]}{more} {judge}")


def _is_of(system: System, folder: Path) -> bool:
    try:
        return read_subject(folder)[0] == system.name
    except UserError:  # nobody knows whose
        return False


def _fit(system: System, folder: Path) -> JudgedRun:
    """Read a run that may go on the card.

    Raises:
        UserError: it may not, and why.
    """
    shown = shown_path(folder)
    record = read_record(folder)
    if record.system != system.name:
        raise UserError(f"{shown} is a run of {record.system}, not of {system.name}.")
    if differing := changed_since(system, record):
        raise UserError(
            f"{shown} is a run of another {system.name} than the one on the shelf: "
            f"{', '.join(differing)} changed since."
        )
    judged = read_judged(folder, criteria_in_force(), keep=True)
    if judged.release is None:
        raise UserError(
            f"{shown} has no verdict for a card: {judged.why_none.rstrip('.')}. "
            f"`evalkit gate {shown}` judges it."
        )
    if judged.release.partial:
        raise UserError(
            f"{shown} was judged by chosen tests only. `evalkit gate {shown}` judges it."
        )
    if left_out := record.data.left_out:
        rows = record.data.rows
        raise UserError(f"{shown} is of {rows:,} of {rows + left_out:,} rows only.")
    return judged
