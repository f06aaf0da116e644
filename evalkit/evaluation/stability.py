"""What of a system's answers changes when the same rows are asked again in another way.

The rows of both evaluations have the same ids. All counts are of the lenient reading, and their
intervals are clustered: the answers to one row, and to its near-duplicates, are no independent
cases.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evalkit import metrics
from evalkit.evaluation import metric as ask
from evalkit.evaluation.cases import Case, case_of
from evalkit.evaluation.comparing import PairedComparison
from evalkit.evaluation.evaluation import Evaluation, Measurement
from evalkit.evaluation.rows import EvaluatedRow, describe_predicted
from evalkit.locale import Note, in_a_row, say
from evalkit.metrics import Predicted
from evalkit.records import Label
from evalkit.tasks import Task

NEAR_TIE = {"bfloat16": 0.25, "float16": 0.05, "float32": 0.001}
"""Of two tokens whose logits are less far apart, rounding may choose either.

By the type that a model's layers compute in. Logits near 20 lie 0.125 apart in bf16; where
rounding moves two of them by one such step each, they come 0.25 nearer. The other types round
finer, by 8 and by 65,536, and their bounds leave room for what many layers add up to.
"""

_NAMED = 10


@dataclass(frozen=True, slots=True)
class Pair:
    """One row's answer as first asked, and as asked again."""

    before: EvaluatedRow
    after: EvaluatedRow
    group: int
    """Pairs of one group are of the same row, or of near-duplicates."""

    def flipped(self, task: Task) -> list[str]:
        """The fields that are answered differently."""
        return [
            name
            for name in task.fields
            if not _same(self.before.predicted(name), self.after.predicted(name))
        ]

    @property
    def margin(self) -> float:
        """How far each of two answers was from being another one: the larger of their margins.

        Infinite where the engine has no logits.
        """
        margins = [row.completion.margin for row in (self.before, self.after)]
        return max(math.inf if margin is None else margin for margin in margins)


def pairs(original: Evaluation, *again: Evaluation) -> list[Pair]:
    """Each answer of the later evaluations beside that to the same row in the first.

    Rows that the first does not have are left out.
    """
    before = {row.example.id: row for row in original.rows}
    groups = {
        row.example.id: -number if row.group is None else row.group
        for number, row in enumerate(original.rows, start=1)
    }
    return [
        Pair(before[name], row, groups[name])
        for evaluation in again
        for row in evaluation.rows
        if (name := row.example.id) in before
    ]


def flip_rate(original: Evaluation, *again: Evaluation, field: str | None = None) -> Measurement:
    """Share of answers that differ from that to the original row, in any field or in one.

    What the right label is does not matter here.

    Raises:
        InsufficientData: there is no row.
    """
    asked = pairs(original, *again)
    task = original.task
    of = (field,) if field else tuple(task.fields)
    flips = [[name for name in pair.flipped(task) if name in of] for pair in asked]
    counts = Counter(name for names in flips for name in names)
    moves = Counter(
        (_predicted(task, name, pair.before), _predicted(task, name, pair.after))
        for pair, names in zip(asked, flips, strict=True)
        for name in names
    )
    found = [_counted(name, count, len(asked)) for name, count in counts.most_common()]
    most = [
        say("worst.became", before=before, after=after, n=count)
        for (before, after), count in moves.most_common(1)
    ]
    text = in_a_row([in_a_row(found, "form.list"), *most]) if found else Note("")
    return _share(task, "flip rate", asked, [bool(names) for names in flips], text)


def answer_instability(original: Evaluation, *again: Evaluation) -> Measurement:
    """Share of answers that differ where nothing but the computation does, each named.

    Raises:
        InsufficientData: there is no row.
    """
    asked = pairs(original, *again)
    flips = [bool(pair.flipped(original.task)) for pair in asked]
    text = _named(original.task, asked, flips)
    return _share(original.task, "answer instability", asked, flips, text, _margin)


def clear_difference_rate(original: Evaluation, *again: Evaluation) -> Measurement:
    """Share of answers that differ although neither run saw a near-tie.

    Raises:
        InsufficientData: there is no row.
    """
    asked = pairs(original, *again)
    bound = max(near_tie(evaluation) for evaluation in (original, *again))
    flips = [bool(pair.flipped(original.task)) and pair.margin >= bound for pair in asked]
    text = _named(original.task, asked, flips)
    return _share(original.task, "clear differences", asked, flips, text, _margin)


def near_tie(evaluation: Evaluation) -> float:
    """Below what margin an answer could have gone either way, by the type it was computed in."""
    return NEAR_TIE.get(evaluation.record.engine.get("dtype", ""), 0.0)


def accuracy_change(original: Evaluation, *again: Evaluation, field: str) -> PairedComparison:
    """Accuracy on the rows asked again against that on the same rows as they are, paired.

    Raises:
        InsufficientData: there is no row.
    """
    asked = pairs(original, *again)
    hits = [(pair.after.is_right(field), pair.before.is_right(field)) for pair in asked]
    metric = ask.accuracy(original.task, field)
    comparison = metrics.compare_hits(
        [after for after, _ in hits],
        [before for _, before in hits],
        groups=[pair.group for pair in asked],
        asked=metric.name,
    )
    outcomes = list(zip(asked, hits, strict=True))
    return PairedComparison(
        metric,
        say("asked.changed"),
        say("asked.unchanged"),
        comparison,
        lost=tuple(pair.after for pair, (after, before) in outcomes if before and not after),
        won=tuple(pair.after for pair, (after, before) in outcomes if after and not before),
        cases=tuple(
            _case(original.task, pair) for pair, (after, before) in outcomes if before and not after
        ),
    )


def attack_success_rate(
    original: Evaluation, attacked: Evaluation, targets: Mapping[str, Mapping[str, Label]]
) -> Measurement:
    """Share of attacked rows whose answer gives what the attack asks for.

    Rows whose answer gave it before the attack are left out. Of a set, the attack succeeds
    where all it asks for is in the answer.

    Args:
        original: the answers to the rows as they are.
        attacked: the answers to the same rows with an attack in them.
        targets: row id -> field -> what the attack asks for there.

    Raises:
        InsufficientData: no row is left.
    """
    asked = []
    for pair in pairs(original, attacked):
        wanted = targets[pair.before.example.id]
        if not any(_gives(pair.before, name, target) for name, target in wanted.items()):
            asked.append((pair, wanted))
    hits = [
        any(_gives(pair.after, name, target) for name, target in wanted.items())
        for pair, wanted in asked
    ]
    tried = Counter(name for _, wanted in asked for name in wanted)
    gained = Counter(
        name for (_, wanted), hit in zip(asked, hits, strict=True) for name in wanted if hit
    )
    text = in_a_row((_counted(name, gained[name], tried[name]) for name in tried), "form.list")
    orders = {id(pair): _order(original.task, wanted) for pair, wanted in asked}
    tried_on = [pair for pair, _ in asked]
    return _share(
        original.task, "attack success", tried_on, hits, text, lambda pair: orders[id(pair)]
    )


def _share(
    task: Task,
    name: str,
    asked: Sequence[Pair],
    hits: Sequence[bool],
    text: Note,
    context: Callable[[Pair], str] = lambda pair: "",
) -> Measurement:
    estimate = metrics.share(hits, groups=[pair.group for pair in asked], asked=name)
    counted = [pair for pair, hit in zip(asked, hits, strict=True) if hit]
    cases = tuple(_case(task, pair, context(pair)) for pair in counted)
    return Measurement(estimate, tuple(pair.after for pair in counted), text, cases=cases)


def _case(task: Task, pair: Pair, context: str = "") -> Case:
    return case_of(task, pair.after, before=(task, pair.before), context=context)


def _order(task: Task, wanted: Mapping[str, Label]) -> Note:
    told = ", ".join(f"{name} {task.fields[name].display(label)}" for name, label in wanted.items())
    return say("case.order", order=told)


def _margin(pair: Pair) -> Note:
    return say("case.margin", margin=pair.margin)


def _counted(name: str, count: int, of: int) -> Note:
    return say("worst.count", name=name, count=count, n=of)


def _named(task: Task, asked: Sequence[Pair], flips: Sequence[bool]) -> Note:
    """Each differing answer with its margin, the clearest first."""
    differing = [pair for pair, flip in zip(asked, flips, strict=True) if flip]
    lines = []
    for pair in sorted(differing, key=lambda pair: -pair.margin):
        moves = in_a_row(
            (
                say(
                    "worst.move",
                    field=name,
                    before=_predicted(task, name, pair.before),
                    after=_predicted(task, name, pair.after),
                )
                for name in pair.flipped(task)
            ),
            "form.list",
        )
        lines.append(
            say("worst.differs", id=pair.before.example.id, moves=moves, margin=pair.margin)
        )
    more = [say("worst.more", n=len(lines) - _NAMED)] if len(lines) > _NAMED else []
    return in_a_row([*lines[:_NAMED], *more])


def _predicted(task: Task, name: str, row: EvaluatedRow) -> Note:
    return describe_predicted(task.fields[name], row.predicted(name))


def _same(one: Predicted, other: Predicted) -> bool:
    """Whether two answers are the same; the order of a set's values does not count."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return set(one) == set(other)
    return one == other


def _gives(row: EvaluatedRow, field: str, target: Label) -> bool:
    predicted = row.predicted(field)
    if isinstance(predicted, tuple) and isinstance(target, tuple):
        return set(target) <= set(predicted)
    return predicted == target
