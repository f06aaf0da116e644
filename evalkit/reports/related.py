"""The runs that a run is read beside: the last release, that of its base, the one before it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from evalkit.errors import UserError
from evalkit.evaluation import check_same_rows
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.run_record import RunRecord
from evalkit.runs import VERDICTS, baseline_folders, read_record, run_folders


def find_related(run: JudgedRun, runs: Path) -> list[JudgedRun]:
    """The system's newest baseline, the newest run of its base, and the system's run before.

    All are judged, and of the same test rows. A run with the same predictions is passed over,
    as nothing could be told apart. Records are looked at first; a run is read only where it may
    be one.
    """
    mine = run.evaluation.record
    baselines = sorted(baseline_folders(runs), key=lambda folder: folder.stat().st_mtime)
    folders = [
        (folder, record)
        for folder in reversed([*run_folders(runs), *baselines])
        if (record := _read(folder))
        and folder.resolve() != run.folder.resolve()
        and record.predictions_sha256 != mine.predictions_sha256
        and record.data.sha256 == mine.data.sha256
    ]

    found: dict[tuple[str, str | None], JudgedRun] = {}

    def add(fits: Callable[[Path, RunRecord], bool]) -> None:
        for folder, record in folders:
            if fits(folder, record) and (judged := _judged(folder, run)) is not None:
                found.setdefault((record.system, record.predictions_sha256), judged)
                return

    def is_earlier(record: RunRecord) -> bool:
        return record.system == run.system and record.started < mine.started

    add(lambda folder, record: folder in baselines and record.system == run.system)
    add(lambda folder, record: folder not in baselines and is_base_of(record, mine, run.system))
    add(lambda folder, record: folder not in baselines and is_earlier(record))
    return list(found.values())


def is_base_of(other: RunRecord, record: RunRecord, system: str = "") -> bool:
    """Whether a run's record is of the base weights of another's, without an adapter.

    A run named `SYSTEM-base` is the base's, too, where the system's name is given.
    """
    if other.trained_sha256:
        return False
    if not record.trained_sha256:
        return False
    weights = record.weights_sha256
    same = weights is not None and other.weights_sha256 == weights
    return same or (bool(system) and other.system == f"{system}-base")


def _read(folder: Path) -> RunRecord | None:
    """The record of a run that was judged."""
    if not (folder / VERDICTS).is_file():
        return None
    try:
        return read_record(folder)
    except UserError:
        return None


def _judged(folder: Path, run: JudgedRun) -> JudgedRun | None:
    try:
        found = read_judged(folder)
        if found.release is None:
            return None
        check_same_rows(run.evaluation.examples, found.evaluation.examples, ("", ""))
    except UserError:  # one that was changed, or is of other labels
        return None
    return found
