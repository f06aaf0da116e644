"""`record.json` and `provenance.json`: what identifies a run, and what an adapter was made of.

Keys that are not known here are kept as they are, and a key that was not given is not written.
"""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, WrapValidator

from evalkit.tasks import Task
from evalkit.weights.cache import hash_file

PROVENANCE = "provenance.json"
Text = Annotated[
    str,
    WrapValidator(lambda found, check: found if isinstance(found, str) else check(found)),
    PlainSerializer(lambda found: found),
]
"""A text that may be a `Note`, and stays one."""


class _Written(BaseModel):
    """A part of a file that evalkit writes."""

    model_config = ConfigDict(frozen=True, extra="allow", populate_by_name=True)

    def to_json(self) -> dict[str, Any]:
        """The keys that were given, as they are in the file."""
        return self.model_dump(by_alias=True, exclude_unset=True)

    def having(self, **changes: Any) -> Self:
        """The same with some keys set, and checked, anew."""
        return type(self).model_validate({**self.to_json(), **changes})


class Cost(_Written):
    """What the answers cost; those known from before keep the seconds they took then."""

    seconds_per_row_p50: float | None = None
    seconds_per_row_p95: float | None = None
    rows_per_second: float | None = None
    """Of the rows that were answered anew; None where there are none."""
    prompt_tokens: int | None = None
    generated_tokens: int | None = None
    operations: float | None = None
    """Of the trunk's matrix products, for the rows that were answered anew; None where the engine
    does not count them."""
    peak_memory_bytes: dict[str, int] = {}
    """`process`, and `cuda` where it was used."""


class Seconds(_Written):
    """Wall-clock seconds."""

    load: float | None = None
    answer: float | None = None


class Contamination(_Written):
    """Whether a system was trained on the rows that it is judged on."""

    status: Literal["checked", "unknown", "untrained"] | None = None
    """None where it was not looked for."""
    why: Text = ""
    """Why it is not known."""
    trained_rows: int | None = None
    data_sha256: str | None = None
    """Of the rows that it was trained on."""
    fingerprints_sha256: str | None = None
    declared: bool = False
    """Whether the training rows are known by somebody's word alone."""
    seen: dict[str, int] = {}
    """Kind of match -> rows of which a training row is one."""
    twins: dict[str, Text] = {}
    """Row that was trained on -> the training row it repeats, where those are at hand."""

    @property
    def is_known(self) -> bool:
        """Whether the rows that the system was trained on are told apart."""
        return self.status in ("checked", "untrained")


class SkippedRow(_Written):
    """A row that could not be read and was left out on request."""

    where: str
    why: Text


class DataRecord(_Written):
    """The rows that were asked."""

    source: str = ""
    sha256: str = ""
    """See `evalkit.data.loading.hash_examples`."""
    rows: int = 0
    label_mappings: dict[str, str] = {}
    notes: list[Text] = []
    left_out: int = 0
    """Rows that a limit left unread."""
    skipped: list[SkippedRow] = []
    split: str = "test"
    """`dev` for rows to choose by, on which nothing is released."""


class Identity(_Written):
    """Everything that decides what the answers are, but for what is asked."""

    base: str | None = None
    weights_sha256: str | None = None
    trained_sha256: dict[str, str] = {}
    """File that training left -> its hash."""
    quantization: str = "none"
    normalize: str = "none"
    """What is done to inputs; a run from before this was possible says nothing."""
    format: str | None = None
    thoughts: list[Any] = []
    """What may stand around a thought before the answer; see `evalkit.thoughts`."""
    task_sha256: str | None = None
    abilities: list[str] = []
    engine: dict[str, Any] = {}
    """As the engine describes itself: `engine`, `device`, `dtype`, `decoding` and others."""
    prompt_sha256: str | None = None


def _task_to_json(task: Task | None) -> dict[str, Any] | None:
    return task.model_dump(mode="json") if task else None


class RunRecord(Identity):
    """The `record.json` of a run, or of what else a system was asked as a part of one."""

    schema_version: int | None = Field(None, alias="schema")
    system: str = ""
    requests_sha256: str | None = None
    texts_sha256: str | None = None
    unanswered: dict[str, Text] = {}
    """Request id -> why nothing came."""
    rows: int = 0
    predictions_sha256: str | None = None
    record_sha256: str | None = None
    task: Annotated[Task | None, PlainSerializer(_task_to_json)] = None
    """None where it was asked outside of its task."""
    data: DataRecord = DataRecord()
    contamination: Contamination = Contamination()
    part: str | None = None
    """The name of the part; None for a run."""
    reused_rows: int = 0
    started: str = ""
    """ISO 8601, UTC."""
    notes: list[Text] = []
    commit: str | None = None
    dirty: bool | None = None
    packages: dict[str, str] = {}
    machine: dict[str, str] = {}
    processor: Any = None
    """What of the processor decides near-ties; see `evalkit.environment`."""
    seconds: Seconds = Seconds()
    cost: Cost = Cost()

    @property
    def started_at(self) -> datetime:
        """When the system began to answer, in UTC."""
        return datetime.fromisoformat(self.started)

    @property
    def asked_task(self) -> Task:
        """The task that was asked.

        Raises:
            ValueError: the record names none.
        """
        if self.task is None:
            raise ValueError("it names no task")
        return self.task

    @property
    def all_notes(self) -> list[Text]:
        """What a reader of the verdict has to know: of the data, and of the run."""
        return [*self.data.notes, *self.notes]

    def identity(self) -> dict[str, Any]:
        """What makes two runs comparable or not, by its key in the file.

        A report may show it in other words; there is no other list of it.
        """
        keys = (*Identity.model_fields, "machine", "packages", "commit")
        return {key: getattr(self, key) for key in keys} | {"data": self.data.sha256}


class Provenance(_Written):
    """The `provenance.json` of an adapter or a baseline: what it was made of, and how."""

    schema_version: int | None = Field(None, alias="schema")
    system: str = ""
    engine: str | None = None
    task: str | None = None
    task_sha256: str | None = None
    format: str | None = None
    prompt_sha256: str | None = None
    normalize: str = "none"
    base: str | None = None
    weights_sha256: str | None = None
    data: Any = None
    data_sha256: str | None = None
    trained_sha256: dict[str, str] = {}
    """File of weights -> its hash; a training of an earlier evalkit noted none."""
    label_mappings: dict[str, str] = {}
    recipe: dict[str, Any] = {}
    fits: dict[str, dict[str, Any]] = {}
    """Field -> how a baseline's regression was fitted."""
    rows: dict[str, Any] = {}
    dev_accuracy: dict[str, float] = {}

    @classmethod
    def read(cls, system: Path) -> Provenance | None:
        """The provenance in a system's folder; None where there is none that can be read."""
        try:
            return cls.model_validate(json.loads((system / PROVENANCE).read_text(encoding="utf-8")))
        except (OSError, ValueError):  # a ValidationError is one
            return None

    def replaced_weights(self, system: Path) -> Path | None:
        """The first file in a folder that is not what the training wrote; None where all are."""
        files = ((system / name, digest) for name, digest in self.trained_sha256.items())
        return next((p for p, sha in files if not p.is_file() or hash_file(p) != sha), None)
