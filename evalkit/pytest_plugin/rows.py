"""The rows that systems are judged on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Self

import pytest

from evalkit.data import BadRow, Dataset, load_dataset
from evalkit.data.sources import rows_beside
from evalkit.errors import UserError
from evalkit.gates import BAD_ROWS, judge
from evalkit.locale import say
from evalkit.records import Estimate
from evalkit.systems import shown_path

if TYPE_CHECKING:
    from evalkit.evaluation import Evaluation
    from evalkit.gates import Policy, Verdict
    from evalkit.tasks import Task


def load_rows(config: pytest.Config, task: Task) -> Dataset:
    """Read the rows that a task's systems are judged on: `--data`, or the family's fixture.

    With `--split dev` they are rows to choose by, whichever they are.

    Raises:
        UserError: there are none, or they cannot be read.
    """
    source, split = config.getoption("data"), config.getoption("split")
    if source is None:
        path = config.rootpath / "fixtures" / task.family / f"{split}.jsonl"
        if not path.is_file():
            same = rows_beside(path)
            near = f" Did you mean --data {shown_path(same)}?" if same else ""
            raise UserError(
                f"There are no rows to judge on: {shown_path(path)} is not there. Write it, "
                f"or name others with --data.{near}"
            )
        source = shown_path(path)
    dataset = load_dataset(
        source,
        task,
        on_bad_row=config.getoption("on_bad_row"),
        mapping=config.getoption("mapping"),
        limit=config.getoption("limit"),
        prefer_split=split,
    )
    return replace(dataset, split=split)


def fault_of_rows(config: pytest.Config, evaluation: Evaluation) -> str | None:
    """What is wrong where a stored run is not one of the rows that are there now."""
    data = evaluation.record.data
    source = config.getoption("data") or data.source
    if source == data.source and not Path(source).is_file():
        return None  # nothing to hold it against
    limit = data.rows if data.left_out else None
    try:
        found = load_dataset(
            source,
            evaluation.task,
            on_bad_row="skip" if data.skipped else "stop",
            mapping=next(iter(data.label_mappings.values()), "none"),
            limit=config.getoption("limit") or limit,
        )
    except UserError as error:
        return say("fault.unreadable_rows", error=error.message)
    if found.sha256 == data.sha256:
        return None
    return say("fault.stale_rows", source=source, n=data.rows)


@dataclass(frozen=True)
class RowsLeftOut:
    """The rows of a system's test set that it was not asked: all of them, on another split."""

    unread: int = 0
    """Rows that could not be read, and were skipped (`--on-bad-row skip`)."""
    limited: int = 0
    """Rows beyond `--limit`."""
    answered: int = 0
    split: str = "test"

    @classmethod
    def of(cls, evaluation: Evaluation | None) -> Self:
        """Those that a run's record names."""
        if evaluation is None:
            return cls()
        data = evaluation.record.data
        return cls(len(data.skipped), data.left_out, data.rows, data.split)

    def judge(self, policies: Mapping[str, Policy], family: str) -> Verdict | None:
        """Hold the share of unreadable rows against its criterion, where there is one."""
        policy = policies.get(BAD_ROWS)
        if policy is None or policy.task not in (None, family) or not self.answered:
            return None
        n = self.answered + self.unread
        rate = self.unread / n
        return judge(BAD_ROWS, policy, Estimate(rate, n, rate, rate, "count", self.unread))

    def faults(self, allowed: Verdict | None) -> list[str]:
        """Why nothing ships on the others."""
        n, found = self.answered, list[str]()
        if self.split != "test":
            found.append(say("fault.split", split=self.split))
        if self.limited:
            found.append(say("fault.partial", n=n, all=n + self.limited))
        if self.unread and allowed is None:
            found.append(say("fault.bad_rows", n=self.unread, all=self._total))
        return found

    def caveats(self) -> list[str]:
        """What is to be known of the others."""
        return [say("note.bad_rows", n=self.unread, all=self._total)] if self.unread else []

    @property
    def _total(self) -> int:
        return self.answered + self.limited + self.unread


def same_rows(evaluation: Evaluation) -> Dataset:
    """The data set that a system was evaluated on, for another to be."""
    data = evaluation.record.data
    return Dataset(
        data.source,
        tuple(row.example for row in evaluation.rows),
        tuple(BadRow(row.where, row.why) for row in data.skipped),
        data.label_mappings,
        data.sha256,
        tuple(data.notes),
        data.left_out,
        data.split,
    )
