"""What can be asked of a system's answers."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.errors import InsufficientData, UserError
from evalkit.evaluation import Evaluation, build_requests, evaluate
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.run_record import RunRecord
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
INTENTS = load_task("intents")
LABELS = get_format("labels", INTENTS)


def run(answers: list[tuple[str, int, str]]) -> Evaluation:
    """Rows as (right folder, right priority, answer)."""
    examples = tuple(
        Example(str(i), dict.fromkeys(TASK.inputs, "x"), {"folder": f, "priority": p})
        for i, (f, p, _) in enumerate(answers)
    )
    said = {str(i): written(text) for i, (_, _, text) in enumerate(answers)}
    return evaluate("s", TASK, JSON, examples, said, record=RunRecord())


def written(text: str) -> Completion:
    return Completion(text, FinishReason.STOP)


ROWS = run(
    [
        ("Work", 1, '{"folder": "Work", "priority": 1}'),
        ("Work", 2, '{"folder": "Work", "priority": 1}'),
        ("Work", 2, 'Sure! {"folder": "Personal", "priority": 2}'),
        ("Alerts", 3, '{"folder": "Spam", "priority": 3}'),
        ("Alerts", 3, '{"folder": "Alerts"}'),
        ("Alerts", 3, "no idea"),
    ]
)


def test_failures_stay_in_the_denominator() -> None:
    accuracy = ROWS.accuracy("priority")
    assert (accuracy.estimate.successes, accuracy.estimate.n) == (3, 6)
    assert [row.example.id for row in accuracy.counted_against] == ["1", "4", "5"]
    assert ROWS.accuracy("folder").estimate.successes == 3
    assert ROWS.all_correct().estimate.successes == 1


def test_rates_of_unfit_answers() -> None:
    assert ROWS.parse_failure_rate().estimate.successes == 1
    assert ROWS.out_of_enum_rate().estimate.successes == 1
    assert ROWS.out_of_enum_rate("priority").estimate.successes == 0
    assert ROWS.missing_field_rate().estimate.successes == 1
    # Prose around an answer, a field left out, and no answer at all.
    assert ROWS.format_violation_rate().estimate.successes == 3


def test_values() -> None:
    recall = ROWS.recall("priority", 3)
    assert (recall.estimate.successes, recall.estimate.n) == (1, 3)
    assert [row.example.id for row in recall.counted_against] == ["4", "5"]
    precision = ROWS.precision("priority", 1)
    assert (precision.estimate.successes, precision.estimate.n) == (1, 2)
    assert [row.example.id for row in precision.counted_against] == ["1"]
    with pytest.raises(InsufficientData):
        ROWS.recall("folder", "Promotions")
    with pytest.raises(UserError, match="no value 4"):
        ROWS.recall("priority", 4)
    with pytest.raises(UserError, match="no field 'level'"):
        ROWS.accuracy("level")


def test_the_weakest_value_is_named_with_its_commonest_mistake() -> None:
    assert ROWS.accuracy("folder").weakest == (
        "Alerts 33.3% (1/3); most often Alerts read as out of enum: Spam (1)"
    )


def test_confusion_and_macro_f1() -> None:
    table = ROWS.confusion("priority")
    assert table.counts == ((1, 0, 0), (1, 1, 0), (0, 0, 1))
    assert (table.missing[2], table.unreadable[2]) == (1, 1)
    assert 0 < ROWS.macro_f1("priority").estimate.value < 1


def test_sets_are_judged_as_sets() -> None:
    examples = tuple(
        Example(str(i), {"prompt": "x"}, {"intents": labels})
        for i, labels in enumerate([("payment",), ("order_management", "payment"), ("none",)])
    )
    said = {"0": written("payment"), "1": written("payment"), "2": written("none, payment")}
    found = evaluate("s", INTENTS, LABELS, examples, said, record=RunRecord())
    assert found.accuracy("intents").estimate.successes == 1
    assert found.recall("intents", "payment").estimate.successes == 2
    assert found.out_of_enum_rate().estimate.successes == 1
    assert len(found.confusion("intents").values) == 3
    # One exactly right, one half right, one wrong.
    assert found.partial_match("intents").estimate.successes == 2
    assert found.jaccard("intents").estimate.value == pytest.approx(0.5)
    assert found.micro_f1("intents").estimate.value == pytest.approx(2 * 2 / (2 + 4))
    assert [score.value for score in found.label_scores("intents") if score.named] == ["payment"]


def test_no_rows_give_no_estimate() -> None:
    with pytest.raises(InsufficientData):
        run([]).accuracy("priority")


def test_a_row_without_an_answer_is_left_out() -> None:
    examples = tuple(
        Example(name, dict.fromkeys(TASK.inputs, "x"), {"folder": "Work", "priority": 1})
        for name in "ab"
    )
    said = {"b": written('{"folder": "Work", "priority": 1}')}
    found = evaluate("s", TASK, JSON, examples, said, record=RunRecord(), groups=[3, 4])
    assert [(row.example.id, row.group) for row in found.rows] == [("b", 4)]


def test_the_longest_answer_bounds_every_canonical_one() -> None:
    example = Example("a", dict.fromkeys(TASK.inputs, "x"), {"folder": "Work", "priority": 1})
    (request,) = build_requests(TASK, JSON, [example])
    for folder in TASK.fields["folder"].labels:
        answer = JSON.render(TASK, {"folder": folder, "priority": 2}, example.inputs)
        assert len(answer) <= len(request.longest_answer)


def test_prompts_that_were_not_seen_whole_are_counted() -> None:
    row, *others = ROWS.rows
    cut = replace(row, completion=replace(row.completion, saw_whole_prompt=False))
    assert ROWS.truncated_prompts().estimate.value == 0
    found = replace(ROWS, rows=(cut, *others)).truncated_prompts()
    assert (found.estimate.successes, found.estimate.n) == (1, 6)
    assert (found.estimate.value, found.counted_against) == (1 / 6, (cut,))
    with pytest.raises(InsufficientData):
        replace(ROWS, rows=()).truncated_prompts()


def sure(confidence: float | None, text: str) -> Completion:
    given = {} if confidence is None else {"folder": confidence}
    return Completion(text, FinishReason.STOP, confidences=given)


def test_answers_that_name_no_value_count_in_calibration_and_coverage() -> None:
    """A set of ten: seven right at 0.85, and three that no value can be read from."""
    right = '{"folder": "Work", "priority": 1}'
    faults = ['{"folder": "Spam", "priority": 1}', '{"priority": 1}', "no idea"]
    examples = tuple(
        Example(str(i), dict.fromkeys(TASK.inputs, "x"), {"folder": "Work", "priority": 1})
        for i in range(10)
    )
    completions = [*[sure(0.85, right)] * 7, *(sure(None, text) for text in faults)]
    said = {str(i): completion for i, completion in enumerate(completions)}
    rows = evaluate("s", TASK, JSON, examples, said, record=RunRecord())
    error = rows.calibration_error("folder").estimate
    # Seven rows of ten are 0.15 off, and three of them 1.
    assert (error.n, error.value) == (10, pytest.approx(0.7 * 0.15 + 0.3 * 1.0))
    brier = rows.brier_score("folder").estimate
    assert brier.value == pytest.approx(0.7 * 0.15**2 + 0.3)
    point = rows.accuracy_at_coverage("folder", 0.3).estimate
    assert (point.successes, point.n) == (0, 3)
    with pytest.raises(InsufficientData):
        _ = rows.calibration_error("priority").estimate


@pytest.mark.parametrize(
    ("engine", "counts", "cut"),
    [
        # Longer than the bound, all have as many tokens.
        ("endpoint", [64, 64, 64, 64, 64, 40, 30], 5),
        ("endpoint", [64] * 7, 7),
        # What differs was not cut; nor what an engine here counted, nor what nobody did.
        ("endpoint", [64, 64, 64, 64, 63, 40, 30], 0),
        ("endpoint", [64, 64, 64, 64, 64, 65, 30], 0),
        ("transformers", [64] * 7, 0),
        ("endpoint", [0] * 7, 0),
    ],
)
def test_prompts_that_a_server_cuts_alike_are_counted(
    engine: str, counts: list[int], cut: int
) -> None:
    texts = ["word " * (50 - i) for i in range(7)]
    examples = [Example(str(i), {"prompt": t}, {"intents": ("none",)}) for i, t in enumerate(texts)]
    said = {str(i): replace(written("none"), prompt_tokens=n) for i, n in enumerate(counts)}
    record = RunRecord(engine={"engine": engine})
    found = evaluate("s", INTENTS, LABELS, examples, said, record=record).truncated_prompts()
    assert (found.estimate.successes, found.estimate.n) == (cut, 7)


def test_short_inputs_of_one_length_are_not_taken_for_cut() -> None:
    examples = [Example(str(i), {"prompt": "yes no"}, {"intents": ("none",)}) for i in range(9)]
    said = {str(i): replace(written("none"), prompt_tokens=64) for i in range(9)}
    record = RunRecord(engine={"engine": "endpoint"})
    found = evaluate("s", INTENTS, LABELS, examples, said, record=record).truncated_prompts()
    assert found.estimate.successes == 0
