"""A system's answers on a dataset, and what can be asked of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from typing import TYPE_CHECKING, Any

from evalkit import metrics
from evalkit.data import Match
from evalkit.errors import InsufficientData
from evalkit.evaluation import metric as ask
from evalkit.evaluation.cases import Case, case_of, on_offer
from evalkit.evaluation.comparing import (
    PairedComparison,
    check_same_rows,
    compare_rows,
    flips,
    pair,
)
from evalkit.evaluation.metric import Metric
from evalkit.evaluation.rows import EvaluatedRow, Rows, groups_of, problem_of, values_of
from evalkit.evaluation.truncation import truncated
from evalkit.formats import Format, get_format
from evalkit.formats.base import canonical_labels, longest_labels
from evalkit.metrics import Confusion, LabelScores, ReliabilityBin
from evalkit.records import Answer, Completion, Estimate, Example, Label, Request
from evalkit.run_record import RunRecord
from evalkit.tasks import FieldKind, Task

if TYPE_CHECKING:
    import pandas as pd

COVERAGES = (0.5, 0.8)
"""Shares of the rows on which accuracy is shown where a system says how sure it is."""


@dataclass(frozen=True)
class Measurement:
    """An estimate and the rows it rests on, so that a gate can show evidence."""

    estimate: Estimate
    counted_against: tuple[EvaluatedRow, ...] = ()
    """The rows that pull the number the wrong way."""
    weakest: str = ""
    """The worst slice in words, where there are slices."""
    on_all_rows: Estimate | None = None
    """The same number with the rows that the system was trained on, where there are any."""
    metric: Metric | None = None
    """What was asked; None for numbers of a suite's own making."""
    evaluation: Evaluation | None = None
    cases: tuple[Case, ...] = ()
    """Rows counted against it that are none of the run's own."""

    def against(self, other: Measurement) -> PairedComparison:
        """Hold this number against another system's, by a paired test on the same rows.

        Rows that either system was trained on are left out of both.

        Raises:
            UserError: the two are not of the same test set.
            InsufficientData: no row is clean for both.
            ValueError: the measurements are not of one metric of two evaluations.
        """
        if self.metric is None or self.evaluation is None or other.evaluation is None:
            raise ValueError("only what a method of `evaluation` returns can be compared")
        if other.metric is None or other.metric.identity != self.metric.identity:
            raise ValueError(f"{self.metric.name} cannot be held against another metric")
        return compare(self.evaluation, other.evaluation, self.metric)


@dataclass(frozen=True, repr=False)
class Evaluation:
    """A system's answers on a dataset.

    Every method counts the lenient reading, unless it says otherwise; an answer that could not
    be parsed, or that names a value outside the task's, is wrong and stays in the denominator.
    What asks whether answers are right counts clean rows; what asks whether they can be read
    counts all. All raise `InsufficientData` where there is nothing to count.
    """

    system: str
    task: Task
    rows: tuple[EvaluatedRow, ...]
    record: RunRecord
    """What identifies the run: hashes, versions, settings."""
    is_selection: bool = False
    """Whether the rows were chosen by `where` or `pooled`: no test set of their own, which an
    earlier run could be held against."""

    def __repr__(self) -> str:
        found = ", ".join(f"{name} {_percent(e)}" for name, e in self._headline().items())
        return f"<Evaluation of {self.system} on {len(self.rows):,} rows: {found or 'no number'}>"

    def _repr_html_(self) -> str:
        """For notebooks."""
        told = [
            f"<tr><td>{escape(name)}</td><td>{e.value:.1%}</td>"
            f"<td>{e.low:.1%} to {e.high:.1%}</td><td>{e.n:,}</td></tr>"
            for name, e in self._headline().items()
        ]
        head = "<tr><th>metric</th><th>value</th><th>95%</th><th>n</th></tr>"
        title = f"{escape(self.system)}, {len(self.rows):,} rows"
        return f"<table><caption>{title}</caption>{head}{''.join(told)}</table>"

    def _headline(self) -> dict[str, Estimate]:
        found = {}
        for metric in self.headline_metrics():
            with suppress(InsufficientData):
                found[metric.name] = self.measure(metric).estimate
        return found

    @cached_property
    def examples(self) -> dict[str, Example]:
        """The examples by their ids."""
        return {row.example.id: row.example for row in self.rows}

    @cached_property
    def clean_rows(self) -> tuple[EvaluatedRow, ...]:
        """The rows that, as far as is known, the system was not trained on."""
        return tuple(row for row in self.rows if row.contaminated_by is None)

    @cached_property
    def format(self) -> Format:
        """How answers were written."""
        return get_format(self.record.format or "", self.task, self.record.thoughts)

    @cached_property
    def truncated_rows(self) -> tuple[EvaluatedRow, ...]:
        """The rows whose prompt the model could not see whole."""
        return truncated(self.rows, served=self.record.engine.get("engine") == "endpoint")

    def where(
        self, choose: Callable[[EvaluatedRow], bool] | None = None, **labels: str | int
    ) -> Evaluation:
        """Some of the rows: `where(folder="Work")`, `where(lambda row: row.is_unreadable)`.

        Args:
            choose: whether a row is taken; all by default.
            labels: field -> right value of the rows that are taken; of a set, one of its values.

        Raises:
            UserError: there is no such field or value.
        """
        for field, value in labels.items():
            ask.check_value(self.task, field, value)
        rows = (
            row
            for row in self.rows
            if all(ask.has_label(row, field, value) for field, value in labels.items())
        )
        chosen = tuple(row for row in rows if choose is None or choose(row))
        return replace(self, rows=chosen, is_selection=True)

    def pooled(self, *parts: Evaluation) -> Evaluation:
        """The rows of several evaluations as one, to be counted together.

        Answers to one row, and to its near-duplicates, are no independent cases: a row that is
        one of this evaluation's is grouped as it is here, whatever part it is in.

        Raises:
            InsufficientData: there is no part.
        """
        if not parts:
            raise InsufficientData("there is nothing to pool")
        mine = {row.example.id: (-1, _group(row, n)) for n, row in enumerate(self.rows, 1)}
        numbers: dict[tuple[int, int], int] = {}
        rows = []
        for place, part in enumerate(parts):
            for n, row in enumerate(part.rows, 1):
                group = mine.get(row.example.id, (place, _group(row, n)))
                rows.append(replace(row, group=numbers.setdefault(group, len(numbers))))
        return replace(parts[0], rows=tuple(rows), is_selection=True)

    def to_pandas(self) -> pd.DataFrame:
        """One line a row, with the columns of `evalkit predict --out`, and the right labels.

        `id`, `inputs.NAME`, `labels.FIELD`, `values.FIELD` (None where the answer gives none that
        the task has), `is_right.FIELD`, `confidences.FIELD`, `margin`, `problem`, `text` and
        `is_clean` (False where the system was trained on the row).
        """
        import pandas as pd

        return pd.DataFrame([_columns_of(row, self.task) for row in self.rows])

    def measure(self, metric: Metric | str, *asked: Any) -> Measurement:
        """Ask a number of the rows it is to be asked of.

        Args:
            metric: what to measure, or the name of a metric: `measure("macro_f1", "folder")`.
            asked: what a metric that is named needs: a field, a value.

        Raises:
            UserError: there is no metric of that name, or no such field or value.
        """
        if isinstance(metric, str):
            metric = ask.METRICS.find(metric)(self.task, *asked)
        rows = self.clean_rows if metric.on_clean_rows else self.rows
        if self.rows and not rows:
            raise InsufficientData(
                f"{metric.name}: all {len(self.rows):,} rows are in the training data"
            )
        against = tuple(row for row in rows if metric.counts_against(row))
        return Measurement(
            metric.estimate(rows),
            against,
            metric.weakest(rows),
            metric.estimate(self.rows) if len(rows) < len(self.rows) else None,
            metric,
            self,
            self._cases(against, metric.field),
        )

    def _cases(self, rows: Rows, field: str | None) -> tuple[Case, ...]:
        """The rows of a part of a run in words; those of a run itself are in its report."""
        if self.record.part is None:
            return ()
        # What is pooled was asked of several tasks.
        context = "" if self.is_selection else on_offer(self.task, field)
        return tuple(case_of(self.task, row, context=context) for row in rows)

    def accuracy(self, field: str) -> Measurement:
        """Share of rows with exactly the right value of a field (for a set: the right set)."""
        return self.measure(ask.accuracy(self.task, field))

    def all_correct(self) -> Measurement:
        """Share of rows with every field right."""
        return self.measure(ask.all_correct(self.task))

    def recall(self, field: str, value: str | int) -> Measurement:
        """Of the rows whose right value this is, the share that got it."""
        return self.measure(ask.recall(self.task, field, value))

    def precision(self, field: str, value: str | int) -> Measurement:
        """Of the rows that say this value, the share that are right."""
        return self.measure(ask.precision(self.task, field, value))

    def macro_f1(self, field: str) -> Measurement:
        """Mean F1 over the field's values that occur, each counted alike."""
        return self.measure(ask.macro_f1(self.task, field))

    def mean_absolute_error(self, field: str) -> Measurement:
        """How many levels an answer is off on average; an unreadable one as far as can be."""
        return self.measure(ask.mean_absolute_error(self.task, field))

    def quadratic_kappa(self, field: str) -> Measurement:
        """Agreement beyond chance on a scale, a miss weighing as the square of its levels."""
        return self.measure(ask.quadratic_kappa(self.task, field))

    def top_read_as_bottom(self, field: str) -> Measurement:
        """Of the rows in the upper half of a scale, the share answered with the lower half."""
        return self.measure(ask.top_read_as_bottom(self.task, field))

    def partial_match(self, field: str) -> Measurement:
        """Multi-label: share of answers that name at least one right label."""
        return self.measure(ask.partial_match(self.task, field))

    def jaccard(self, field: str) -> Measurement:
        """Multi-label: mean share of labels that truth and answer have in common."""
        return self.measure(ask.jaccard(self.task, field))

    def micro_f1(self, field: str) -> Measurement:
        """Multi-label: F1 over all (row, label) pairs together."""
        return self.measure(ask.micro_f1(self.task, field))

    def calibration_error(self, field: str) -> Measurement:
        """How far confidence and accuracy are apart (ECE), where the engine gives confidences."""
        return self.measure(ask.calibration_error(self.task, field))

    def brier_score(self, field: str) -> Measurement:
        """Mean squared distance between confidence and being right."""
        return self.measure(ask.brier_score(self.task, field))

    def accuracy_at_coverage(self, field: str, coverage: float) -> Measurement:
        """Accuracy on the share of rows that the system is surest of; ties are kept together."""
        return self.measure(ask.accuracy_at_coverage(self.task, field, coverage))

    def reliability(self, field: str) -> list[ReliabilityBin]:
        """Confidence and accuracy by range of confidence, on clean rows; empty without any."""
        rows = ask.confident(self.clean_rows, field)
        if not rows:
            return []
        return metrics.reliability_curve(*ask.confidences(rows, field), groups=groups_of(rows))

    def label_scores(self, field: str) -> list[LabelScores]:
        """Precision, recall and F1 of every value, on clean rows; empty without any."""
        spec = ask.find_field(self.task, field)
        truth = [row.example.labels[field] for row in self.clean_rows]
        predicted = [row.predicted(field) for row in self.clean_rows]
        groups = groups_of(self.clean_rows)
        return metrics.label_scores(truth, predicted, spec.labels, groups=groups) if truth else []

    def parse_failure_rate(self) -> Measurement:
        """Share of answers that could not be read at all."""
        return self.measure(ask.parse_failure_rate())

    def format_violation_rate(self) -> Measurement:
        """Share of answers that are not exactly one well-formed answer and nothing else."""
        return self.measure(ask.format_violation_rate())

    def out_of_enum_rate(self, field: str | None = None) -> Measurement:
        """Share of answers that name a value the task does not have, in any field or in one."""
        return self.measure(ask.out_of_enum_rate(self.task, field))

    def missing_field_rate(self) -> Measurement:
        """Share of answers that were read and leave a field out."""
        return self.measure(ask.missing_field_rate(self.task))

    def contamination_rate(self) -> Measurement:
        """Share of rows that repeat a training row; a count of these rows, without an interval.

        Raises:
            InsufficientData: it is not known what the system was trained on.
        """
        found = self.record.contamination
        if not found.is_known:
            raise InsufficientData(found.why or "contamination: it was not looked for")
        seen = tuple(row for row in self.rows if row.contaminated_by is not None)
        return self._counted("contamination", seen)

    def truncated_prompts(self) -> Measurement:
        """Share of rows whose prompt the model could not see whole; a count, without an interval.

        Raises:
            InsufficientData: there is no row.
        """
        return self._counted("truncated prompts", self.truncated_rows)

    def _counted(self, what: str, rows: tuple[EvaluatedRow, ...]) -> Measurement:
        """The share of the rows that these are, which is known and not estimated."""
        if not self.rows:
            raise InsufficientData(f"{what}: there is no row to look at")
        rate, n = len(rows) / len(self.rows), len(self.rows)
        return Measurement(Estimate(rate, n, rate, rate, "count", len(rows)), rows)

    def confusion(self, field: str) -> Confusion:
        """How often each value was read as each other, or as none, on clean rows."""
        spec = ask.find_field(self.task, field)
        truth = [row.example.labels[field] for row in self.clean_rows]
        predicted = [row.predicted(field) for row in self.clean_rows]
        if spec.kind is FieldKind.MULTI_LABEL:
            readable = [s for s in predicted if isinstance(s, tuple)]
            values: Sequence[Label] = sorted({*(t for t in truth), *readable}, key=repr)
        else:
            values = spec.labels
        return metrics.confusion(truth, predicted, values)

    def headline_metrics(self) -> list[Metric]:
        """Being right: in all fields, where there are several, and in each."""
        task = self.task
        both = [ask.all_correct(task)] if len(task.fields) > 1 else []
        return [*both, *(ask.accuracy(task, name) for name in task.fields)]

    def usual_metrics(self) -> list[Metric]:
        """What one wants to know of any system on this task, gated or not."""
        task = self.task
        found = self.headline_metrics()
        for name, field in task.fields.items():
            found.append(ask.macro_f1(task, name))
            if field.kind is FieldKind.ORDINAL:
                found += [
                    ask.mean_absolute_error(task, name),
                    ask.quadratic_kappa(task, name),
                    ask.top_read_as_bottom(task, name),
                ]
            if field.kind is FieldKind.MULTI_LABEL:
                found += [
                    ask.partial_match(task, name),
                    ask.jaccard(task, name),
                    ask.micro_f1(task, name),
                ]
            if any(name in row.completion.confidences for row in self.rows):
                found += [ask.calibration_error(task, name), ask.brier_score(task, name)]
                found += [ask.accuracy_at_coverage(task, name, share) for share in COVERAGES]
        return [
            *found,
            ask.format_violation_rate(),
            ask.parse_failure_rate(),
            ask.out_of_enum_rate(task),
            ask.missing_field_rate(task),
        ]

    def slice_metrics(self) -> list[Metric]:
        """The recall of every value of every field."""
        return [
            ask.recall(self.task, name, value)
            for name, field in self.task.fields.items()
            for value in field.labels
        ]

    def overview(self) -> dict[str, Measurement]:
        """The usual numbers by name. Those there is no data for are left out."""
        return dict(self._overview)

    @cached_property
    def _overview(self) -> dict[str, Measurement]:
        """Every report asks for them, and bootstraps take their time."""
        found = {}
        for metric in self.usual_metrics():
            try:
                found[metric.name] = self.measure(metric)
            except InsufficientData:
                continue
        return found


def _percent(estimate: Estimate) -> str:
    return f"{estimate.value:.1%} ({100 * estimate.low:.1f}-{100 * estimate.high:.1f})"


def _group(row: EvaluatedRow, number: int) -> int:
    return -number if row.group is None else row.group


def _columns_of(row: EvaluatedRow, task: Task) -> dict[str, Any]:
    read = row.parsed.lenient
    return {
        "id": row.example.id,
        **{f"inputs.{name}": text for name, text in row.example.inputs.items()},
        **{f"labels.{name}": label for name, label in row.example.labels.items()},
        **{f"values.{name}": value for name, value in values_of(read, task.fields).items()},
        **{f"is_right.{name}": row.is_right(name) for name in task.fields},
        **{f"confidences.{name}": sure for name, sure in row.completion.confidences.items()},
        "margin": row.completion.margin,
        "problem": problem_of(read),
        "text": row.completion.text,
        "is_clean": row.contaminated_by is None,
    }


def compare(first: Evaluation, second: Evaluation, metric: Metric) -> PairedComparison:
    """Hold a metric of two systems against each other on the rows that are clean for both.

    Raises:
        UserError: the two are not of the same test set.
        InsufficientData: no row is clean for both, or the metric has none to count.
    """
    check_same_rows(first.examples, second.examples, (f"'{first.system}'", f"'{second.system}'"))
    ours, theirs = pair(_asked_of(first, metric), _asked_of(second, metric))
    lost, won = flips(metric, ours, theirs)
    return PairedComparison(
        metric, first.system, second.system, compare_rows(metric, ours, theirs), lost, won
    )


def _asked_of(evaluation: Evaluation, metric: Metric) -> Rows:
    return evaluation.clean_rows if metric.on_clean_rows else evaluation.rows


def evaluate(
    system: str,
    task: Task,
    fmt: Format,
    examples: Sequence[Example],
    completions: Mapping[str, Completion],
    *,
    record: RunRecord,
    seen: Sequence[Match | None] = (),
    groups: Sequence[int] = (),
) -> Evaluation:
    """Read a system's answers.

    Args:
        system: the system's name.
        task: what was asked.
        fmt: how it was asked and answered.
        examples: the rows. Those without an answer are left out.
        completions: what came, by example id.
        record: what identifies the run.
        seen: for each example the training row that it repeats; empty where that is not known.
        groups: for each example the number of its group of near-duplicates; may be empty.
    """
    rows = tuple(
        EvaluatedRow(
            example,
            completions[example.id],
            fmt.parse(task, completions[example.id].text),
            seen[place] if seen else None,
            groups[place] if groups else None,
        )
        for place, example in enumerate(examples)
        if example.id in completions
    )
    return Evaluation(system, task, rows, record)


def build_requests(task: Task, fmt: Format, examples: Iterable[Example]) -> Iterator[Request]:
    """What an engine is asked, for each example."""
    longest = longest_labels(task)
    labels = canonical_labels(task)
    known: dict[tuple[str, ...], tuple[Answer, ...]] = {}
    for example in examples:
        texts = tuple(fmt.render(task, found, example.inputs) for found in labels)
        if texts not in known:
            # Most formats answer every input with the same texts.
            pairs = zip(labels, texts, strict=True)
            known = {texts: tuple(Answer(found, text) for found, text in pairs)}
        yield Request(
            example.id,
            fmt.prompt(task, example.inputs),
            example.inputs,
            fmt.render(task, longest, example.inputs),
            known[texts],
        )
