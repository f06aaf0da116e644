"""What accuracy is lost where the same inputs are asked about in another way."""

from __future__ import annotations

from collections import Counter

from evalkit import metrics
from evalkit.errors import InsufficientData
from evalkit.evaluation.cases import case_of, on_offer
from evalkit.evaluation.evaluation import Evaluation, Measurement
from evalkit.evaluation.rows import EvaluatedRow, describe_predicted
from evalkit.locale import in_a_row, say
from evalkit.records import Estimate
from evalkit.tasks import Task


def accuracy_lost(field: str, *asked: tuple[Evaluation, Evaluation]) -> Measurement:
    """How much lower a field's accuracy is in the second evaluation of each pair, row by row.

    A number below 0 is a gain. Each row is right or wrong by its own label, so that the two may
    be of tasks whose values go by different names. The interval is Newcombe's for paired
    shares; the rows counted against are those that only the first gets right.

    Args:
        field: whose accuracy; it takes one value of several.
        asked: pairs of evaluations of the same inputs by one system. All rows that are clean in
            both are counted together; ids must not repeat between pairs.

    Raises:
        InsufficientData: there is no such row; or the first evaluations are not shown to be better
            than guessing (by the interval of their accuracy), so that nothing could be lost.
        ValueError: an id is in more than one pair, or with other inputs in the two.
    """
    before: dict[str, EvaluatedRow] = {}
    after: dict[str, EvaluatedRow] = {}
    tasks: dict[str, tuple[Task, Task]] = {}
    groups: dict[tuple[int, int], int] = {}
    numbers: list[int] = []
    for place, (first, second) in enumerate(asked):
        there = {row.example.id: row for row in second.clean_rows}
        for alone, row in enumerate(first.clean_rows, start=1):
            name = row.example.id
            if name not in there:
                continue
            if name in before:
                raise ValueError(f"row {name!r} is asked in more than one pair")
            if dict(row.example.inputs) != dict(there[name].example.inputs):
                raise ValueError(f"row {name!r} has other inputs in the two evaluations")
            before[name], after[name] = row, there[name]
            tasks[name] = (first.task, second.task)
            group = (place, -alone if row.group is None else row.group)
            numbers.append(groups.setdefault(group, len(groups)))
    if not before:
        raise InsufficientData(f"{field} accuracy lost: no row is clean in both evaluations")
    found = metrics.compare_hits(
        [row.is_right(field) for row in before.values()],
        [row.is_right(field) for row in after.values()],
        groups=numbers,
        asked=f"{field} accuracy lost",
    )
    values = min(len(first.task.fields[field].labels) for first, _ in asked)
    if found.first.low <= 1 / values:
        raise InsufficientData(
            f"{field} accuracy lost: {found.first.value:.1%} right before, not shown to be better "
            f"than guessing one of {values}. There is nothing to lose"
        )
    lost = [
        row
        for name, row in after.items()
        if before[name].is_right(field) and not row.is_right(field)
    ]
    clustered = ", clustered" if found.method.endswith(", clustered") else ""
    estimate = Estimate(
        found.difference,
        found.n,
        found.low,
        found.high,
        f"newcombe, paired{clustered}",
        clusters=found.first.clusters,
    )
    told = [say("worst.after", after=found.second.value, before=found.first.value)]
    if lost:
        spec = asked[0][1].task.fields[field]
        moves = Counter(
            (
                spec.display(row.example.labels[field]),
                describe_predicted(spec, row.predicted(field)),
            )
            for row in lost
        )
        (right, predicted), count = moves.most_common(1)[0]
        told += [
            say("worst.lost", lost=len(lost), won=found.only_second or 0),
            say("worst.read_as", right=right, said=predicted, n=count),
        ]
    cases = tuple(
        case_of(now, row, before=(then, before[row.example.id]), context=on_offer(now, field))
        for row in lost
        for then, now in (tasks[row.example.id],)
    )
    return Measurement(estimate, tuple(lost), in_a_row(told), cases=cases)
