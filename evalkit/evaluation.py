"""A system's answers on a dataset, and what can be asked of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from evalkit import metrics
from evalkit.data import Dataset
from evalkit.engines.base import Engine
from evalkit.formats import Format
from evalkit.formats.base import longest_labels
from evalkit.metrics import Confusion, Said
from evalkit.records import (
    Completion,
    Estimate,
    Example,
    Label,
    Missing,
    OutOfEnum,
    ParseFailure,
    Reading,
    Request,
)
from evalkit.tasks import Field, FieldKind, Task


@dataclass(frozen=True, slots=True)
class EvaluatedRow:
    """One example, what the system wrote, and how that reads."""

    example: Example
    completion: Completion
    reading: Reading

    def said(self, field: str) -> Said:
        """What the answer gives a field, read leniently; None where it could not be parsed."""
        lenient = self.reading.lenient
        return None if isinstance(lenient, ParseFailure) else lenient.fields[field]


@dataclass(frozen=True, slots=True)
class Measurement:
    """An estimate and the rows it rests on, so that a gate can show evidence."""

    estimate: Estimate
    counted_against: tuple[EvaluatedRow, ...] = ()
    """The rows that pull the number the wrong way."""
    weakest: str = ""
    """The worst slice in words, where there are slices."""


@dataclass(frozen=True)
class Evaluation:
    """A system's answers on a dataset.

    Every method counts the lenient reading, unless it says otherwise; an answer that could not
    be parsed, or that names a value outside the task's, is wrong and stays in the denominator.
    All raise `InsufficientData` where there is nothing to count.
    """

    system: str
    task: Task
    rows: tuple[EvaluatedRow, ...]
    record: Mapping[str, Any]
    """What identifies the run: hashes, versions, settings. See `evalkit.store`."""

    def accuracy(self, field: str) -> Measurement:
        """Share of rows with exactly the right value of a field (for a set: the right set)."""
        truth, said = self._columns(field)
        wrong = [r for r, t, s in zip(self.rows, truth, said, strict=True) if t != s]
        return Measurement(metrics.accuracy(truth, said), tuple(wrong), self._weakest(field))

    def all_correct(self) -> Measurement:
        """Share of rows with every field right."""
        truth = [row.example.labels for row in self.rows]
        said = [{name: row.said(name) for name in self.task.fields} for row in self.rows]
        wrong = [r for r, t, s in zip(self.rows, truth, said, strict=True) if dict(t) != s]
        return Measurement(metrics.all_fields_accuracy(truth, said), tuple(wrong))

    def recall(self, field: str, value: str | int) -> Measurement:
        """Of the rows whose right value this is, the share that got it."""
        self._check_value(field, value)
        truth, said = self._columns(field)
        missed = [
            row
            for row, label, reading in zip(self.rows, truth, said, strict=True)
            if _holds(label, value) and not _holds(reading, value)
        ]
        return Measurement(metrics.recall(truth, said, value), tuple(missed))

    def precision(self, field: str, value: str | int) -> Measurement:
        """Of the rows that say this value, the share that are right."""
        self._check_value(field, value)
        truth, said = self._columns(field)
        false = [
            row
            for row, label, reading in zip(self.rows, truth, said, strict=True)
            if _holds(reading, value) and not _holds(label, value)
        ]
        return Measurement(metrics.precision(truth, said, value), tuple(false))

    def macro_f1(self, field: str) -> Measurement:
        """Mean F1 over the field's values that occur, each counted alike."""
        truth, said = self._columns(field)
        return Measurement(metrics.macro_f1(truth, said), (), self._weakest(field))

    def confusion(self, field: str) -> Confusion:
        """How often each value was read as each other, or as none."""
        truth, said = self._columns(field)
        spec = self._field(field)
        if spec.kind is FieldKind.MULTI_LABEL:
            readable = [s for s in said if isinstance(s, tuple)]
            values: Sequence[Label] = sorted({*(t for t in truth), *readable}, key=repr)
        else:
            values = spec.labels
        return metrics.confusion(truth, said, values)

    def parse_failure_rate(self) -> Measurement:
        """Share of answers that could not be read at all."""
        return self._rate(
            "parse failure rate", lambda row: isinstance(row.reading.lenient, ParseFailure)
        )

    def format_violation_rate(self) -> Measurement:
        """Share of answers that are not exactly one well-formed answer and nothing else."""
        return self._rate(
            "format violation rate", lambda row: isinstance(row.reading.strict, ParseFailure)
        )

    def out_of_enum_rate(self, field: str | None = None) -> Measurement:
        """Share of answers that name a value the task does not have, in any field or in one."""
        fields = [field] if field else list(self.task.fields)
        for name in fields:
            self._field(name)
        return self._rate(
            "out-of-enum rate",
            lambda row: any(isinstance(row.said(name), OutOfEnum) for name in fields),
        )

    def missing_field_rate(self) -> Measurement:
        """Share of answers that were read and leave a field out."""
        return self._rate(
            "missing-field rate",
            lambda row: any(isinstance(row.said(name), Missing) for name in self.task.fields),
        )

    def overview(self) -> dict[str, Estimate]:
        """The usual numbers, gated or not, by name. Those there is no data for are left out."""
        found: dict[str, Callable[[], Measurement]] = {}
        if len(self.task.fields) > 1:
            found["all fields right"] = self.all_correct
        for name in self.task.fields:
            found[f"{name} accuracy"] = partial(self.accuracy, name)
            found[f"{name} macro-F1"] = partial(self.macro_f1, name)
        found["format violations"] = self.format_violation_rate
        found["parse failures"] = self.parse_failure_rate
        found["out of enum"] = self.out_of_enum_rate
        found["missing fields"] = self.missing_field_rate
        return {name: measure().estimate for name, measure in found.items()} if self.rows else {}

    def _rate(self, asked: str, is_case: Callable[[EvaluatedRow], bool]) -> Measurement:
        cases = tuple(row for row in self.rows if is_case(row))
        return Measurement(metrics.proportion(len(cases), len(self.rows), asked=asked), cases)

    def _columns(self, field: str) -> tuple[list[Label], list[Said]]:
        self._field(field)
        truth = [row.example.labels[field] for row in self.rows]
        return truth, [row.said(field) for row in self.rows]

    def _field(self, field: str) -> Field:
        if field not in self.task.fields:
            raise ValueError(
                f"task {self.task.name} has no field {field!r}, but {', '.join(self.task.fields)}"
            )
        return self.task.fields[field]

    def _check_value(self, field: str, value: str | int) -> None:
        labels = self._field(field).labels
        if value not in labels:
            raise ValueError(f"field {field!r} has no value {value!r}; it has {labels}")

    def _weakest(self, field: str) -> str:
        """The value with the lowest recall, and what it is most often taken for."""
        truth, said = self._columns(field)
        spec = self._field(field)
        present = [v for v in spec.labels if any(_holds(label, v) for label in truth)]
        if not present:
            return ""
        recalls = {v: metrics.recall(truth, said, v) for v in present}
        worst = min(present, key=lambda v: recalls[v].value)
        low = recalls[worst]
        text = f"{spec.display(worst)} {low.value:.1%} ({low.successes}/{low.n})"
        mistakes = Counter(
            describe_said(spec, s)
            for t, s in zip(truth, said, strict=True)
            if _holds(t, worst) and not _holds(s, worst)
        )
        if mistakes:
            taken_for, count = mistakes.most_common(1)[0]
            text += f"; most often {spec.display(worst)} read as {taken_for} ({count})"
        return text


def evaluate(
    system: str,
    task: Task,
    fmt: Format,
    engine: Engine,
    dataset: Dataset,
    *,
    done: Mapping[str, Completion],
    keep: Callable[[str, Completion], None],
    record: Mapping[str, Any],
) -> Evaluation:
    """Run a task on an engine.

    Args:
        system: the system's name.
        task: what is asked.
        fmt: how it is asked and answered.
        engine: what answers.
        dataset: the examples.
        done: completions of an interrupted run of the very same evaluation, by example id.
        keep: called with each new completion as it comes, to put it out of harm's way.
        record: what identifies the run.

    Raises:
        RuntimeError: the engine left a request unanswered or answered one twice.
    """
    todo = [e for e in dataset.examples if e.id not in done]
    completions = dict(done)
    for name, completion in engine.complete(build_requests(task, fmt, todo)):
        if name in completions:
            raise RuntimeError(f"the engine answered {name!r} twice")
        completions[name] = completion
        keep(name, completion)
    unanswered = [e.id for e in dataset.examples if e.id not in completions]
    if unanswered:
        raise RuntimeError(
            f"the engine left {len(unanswered)} requests unanswered: {unanswered[:3]}"
        )
    rows = tuple(
        EvaluatedRow(e, completions[e.id], fmt.parse(task, completions[e.id].text))
        for e in dataset.examples
    )
    return Evaluation(system, task, rows, record)


def build_requests(task: Task, fmt: Format, examples: Iterable[Example]) -> list[Request]:
    """What an engine is asked, for each example."""
    longest = longest_labels(task)
    return [
        Request(e.id, fmt.prompt(task, e.inputs), e.inputs, fmt.render(task, longest, e.inputs))
        for e in examples
    ]


def describe_said(field: Field, said: Said) -> str:
    """What an answer gives a field, in words."""
    if said is None:
        return "unreadable"
    if isinstance(said, Missing):
        return "missing"
    if isinstance(said, OutOfEnum):
        return f"out of enum: {said.text}"
    return field.display(said)


def _holds(said: Said, value: str | int) -> bool:
    return value in said if isinstance(said, tuple) else said == value
