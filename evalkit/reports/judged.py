"""A run on disk with what the gates said of it: what every report is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from evalkit.errors import EvidenceError
from evalkit.evaluation import Evaluation
from evalkit.gates import Release
from evalkit.locale import say
from evalkit.reports.verdicts import release_from_json
from evalkit.runs import BASELINES, read_run, read_verdicts


@dataclass(frozen=True)
class JudgedRun:
    """A run on disk with what the gates said of it."""

    folder: Path
    evaluation: Evaluation
    release: Release | None
    """None where the run was not judged, or its verdicts do not hold any more."""
    why_none: str = ""
    """Why there is no release, as the end of a sentence."""
    by_others: bool = False
    """Whether it was judged by other criteria than those in force; a caveat says so, too."""

    @property
    def name(self) -> str:
        """The run's: its folder's."""
        return self.folder.absolute().name

    @property
    def is_baseline(self) -> bool:
        """Whether it is kept as one, under the name of its folder."""
        return self.folder.absolute().parent.name == BASELINES

    @property
    def system(self) -> str:
        """The system's name."""
        return self.evaluation.system

    @property
    def started(self) -> datetime:
        """When the system began to answer, in UTC."""
        return self.evaluation.record.started_at

    @property
    def date(self) -> str:
        """When it began, to the minute."""
        return f"{self.started:%Y-%m-%d %H:%M}"

    @property
    def may_ship(self) -> bool | None:
        """None where there is no verdict."""
        return None if self.release is None else self.release.decided

    @property
    def verdict(self) -> str:
        """`may ship`, `may NOT ship`, or that there is no verdict, and why."""
        if self.release is None:
            return f"no verdict: {self.why_none}"
        return self.release.verdict


def read_judged(
    folder: Path, criteria_sha256: str | None = None, *, keep: bool = False
) -> JudgedRun:
    """Read a run and its verdicts.

    Args:
        folder: the run's.
        criteria_sha256: of the criteria that hold now; verdicts under others are left out.
        keep: keeps these, with a caveat that says so.

    Raises:
        EvidenceError: the run was changed after it was written, or is not whole.
        UserError: the folder is not a run, or one that was written under another schema.
    """
    evaluation = read_run(folder)
    try:
        content = read_verdicts(folder, None if keep else criteria_sha256)
        if content is None:
            return JudgedRun(folder, evaluation, None, say("unjudged"))
        release = release_from_json(content, evaluation)
        by_others = criteria_sha256 not in (None, content.get("criteria_sha256"))
        if by_others:
            caveat = say("note.other_criteria", run=folder.absolute().name)
            release = replace(release, caveats=(caveat, *release.caveats))
        return JudgedRun(folder, evaluation, release, by_others=by_others)
    except EvidenceError as error:
        return JudgedRun(folder, evaluation, None, error.message)
