"""Two systems on the same rows."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.data import Kind, Match
from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation import EvaluatedRow, Evaluation, compare
from evalkit.evaluation.metric import accuracy, macro_f1, parse_failure_rate, precision, recall
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.run_record import RunRecord
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
SEEN = Match(Kind.EXACT, 1.0)


def system(name: str, said: list[int | None], truth: list[int] | None = None) -> Evaluation:
    """Answers that give these priorities; None is unreadable. The truth is 1, 2, 3, 1, ..."""
    truth = truth or [i % 3 + 1 for i in range(len(said))]
    rows = []
    for i, (right, priority) in enumerate(zip(truth, said, strict=True)):
        text = "?" if priority is None else f'{{"folder": "Work", "priority": {priority}}}'
        example = Example(
            str(i), dict.fromkeys(TASK.inputs, f"x{i}"), {"folder": "Work", "priority": right}
        )
        completion = Completion(text, FinishReason.STOP)
        rows.append(EvaluatedRow(example, completion, JSON.parse(TASK, text)))
    return Evaluation(name, TASK, tuple(rows), RunRecord())


RIGHT: list[int | None] = [i % 3 + 1 for i in range(60)]


def test_rows_are_paired_and_flips_named() -> None:
    ours = system("a", [None, *RIGHT[1:]])
    theirs = system("b", [*RIGHT[:50], *[None] * 10])
    paired = ours.accuracy("priority").against(theirs.accuracy("priority"))
    found = paired.comparison
    assert found.method.startswith("McNemar")
    assert (found.only_first, found.only_second, found.n) == (10, 1, 60)
    assert paired.advantage == found.difference == pytest.approx(9 / 60)
    assert [row.example.id for row in paired.lost] == ["0"]
    assert len(paired.won) == 10
    back = theirs.accuracy("priority").against(ours.accuracy("priority"))
    assert back.comparison.difference == -found.difference
    assert back.comparison.p_value == pytest.approx(found.p_value)


def test_a_higher_fault_rate_is_a_disadvantage() -> None:
    ours, theirs = system("a", [None] * 9 + RIGHT[9:]), system("b", RIGHT)
    paired = compare(ours, theirs, parse_failure_rate())
    assert paired.comparison.difference == pytest.approx(0.15)
    assert paired.advantage == pytest.approx(-0.15)
    assert len(paired.lost) == 9


def test_slices_and_composites() -> None:
    ours, theirs = system("a", RIGHT), system("b", [1] * 60)
    assert compare(ours, theirs, recall(TASK, "priority", 2)).comparison.n == 20
    # Who says a value decides the denominator of its precision, so it cannot be paired by rows.
    for metric in (precision(TASK, "priority", 1), macro_f1(TASK, "priority")):
        found = compare(ours, theirs, metric).comparison
        assert found.method.startswith("paired bootstrap")
        assert found.p_value < 0.05
        assert found.low > 0


def test_rows_that_either_was_trained_on_are_left_out() -> None:
    ours, theirs = system("a", RIGHT), system("b", [1] * 60)
    ours = replace(ours, rows=(replace(ours.rows[0], contaminated_by=SEEN), *ours.rows[1:]))
    theirs = replace(
        theirs, rows=(*theirs.rows[:-1], replace(theirs.rows[-1], contaminated_by=SEEN))
    )
    assert compare(ours, theirs, accuracy(TASK, "priority")).comparison.n == 58
    assert compare(ours, theirs, parse_failure_rate()).comparison.n == 60
    none = replace(ours, rows=tuple(replace(row, contaminated_by=SEEN) for row in ours.rows))
    with pytest.raises(InsufficientData):
        compare(none, theirs, accuracy(TASK, "priority"))
    with pytest.raises(InsufficientData, match="all 60 rows are in the training data"):
        none.accuracy("priority")
    assert none.parse_failure_rate().estimate.n == 60


def test_clean_rows_are_judged_and_all_rows_shown() -> None:
    found = system("a", [*RIGHT[:30], *[None] * 30])
    rows = tuple(
        replace(row, contaminated_by=SEEN) if i < 20 else row for i, row in enumerate(found.rows)
    )
    measured = replace(found, rows=rows).accuracy("priority")
    assert (measured.estimate.successes, measured.estimate.n) == (10, 40)
    assert measured.on_all_rows is not None
    assert (measured.on_all_rows.successes, measured.on_all_rows.n) == (30, 60)
    assert found.accuracy("priority").on_all_rows is None


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (system("b", RIGHT[:50]), "10 of the 60 rows of 'a' are not in the other.*'50'"),
        (system("b", RIGHT, [1] * 60), "40 of 60 rows have other labels.*'1'"),
    ],
)
def test_different_test_sets_are_refused(other: Evaluation, message: str) -> None:
    ours = system("a", RIGHT)
    with pytest.raises(UserError, match=message):
        compare(ours, other, accuracy(TASK, "priority"))


def test_other_inputs_under_the_same_ids_are_refused() -> None:
    ours, theirs = system("a", RIGHT), system("b", RIGHT)
    changed = replace(theirs.rows[7].example, inputs=dict.fromkeys(TASK.inputs, "other"))
    rows = [*theirs.rows]
    rows[7] = replace(rows[7], example=changed)
    with pytest.raises(UserError, match=r"1 of 60 rows have other inputs.*'7'"):
        compare(ours, replace(theirs, rows=tuple(rows)), accuracy(TASK, "priority"))


def test_two_metrics_are_not_held_against_each_other() -> None:
    ours = system("a", RIGHT)
    with pytest.raises(ValueError, match="against another metric"):
        ours.accuracy("priority").against(ours.accuracy("folder"))


def test_the_costly_mistake_is_counted() -> None:
    found = system("a", [3, 1, 1, 1, 2, 2, 1, 2, None] * 10)
    measured = found.top_read_as_bottom("priority")
    assert (measured.estimate.successes, measured.estimate.n) == (10, 30)
    assert {row.predicted("priority") for row in measured.counted_against} == {1}


def test_contamination_that_is_not_known_gives_no_number() -> None:
    found = system("a", RIGHT)
    with pytest.raises(InsufficientData, match="not looked for"):
        found.contamination_rate()
    said = {"contamination": {"status": "unknown", "why": "no fingerprints"}}
    unknown = replace(found, record=RunRecord.model_validate(said))
    with pytest.raises(InsufficientData, match="no fingerprints"):
        unknown.contamination_rate()
    rows = (replace(found.rows[0], contaminated_by=SEEN), *found.rows[1:])
    known = replace(
        found, rows=rows, record=RunRecord.model_validate({"contamination": {"status": "checked"}})
    )
    estimate = known.contamination_rate().estimate
    assert estimate.value == estimate.low == estimate.high == 1 / 60
