"""What changes when the same rows are asked again in another way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.errors import InsufficientData
from evalkit.evaluation import Evaluation, evaluate
from evalkit.evaluation.stability import (
    accuracy_change,
    answer_instability,
    attack_success_rate,
    clear_difference_rate,
    flip_rate,
)
from evalkit.formats import get_format
from evalkit.records import Completion, Example, FinishReason
from evalkit.run_record import RunRecord
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
INTENTS = load_task("intents")
LABELS = get_format("labels", INTENTS)


def completions(texts):
    return {name: Completion(text, FinishReason.STOP) for name, text in texts.items()}


def said(answers, groups=(), dtype="bfloat16", margins=()) -> Evaluation:
    """Answers such as `Work 2` by row id; all rows are Work 2."""
    texts = {
        name: f'{{"folder": "{text.split()[0]}", "priority": {text.split()[1]}}}'
        if text[0].isupper()
        else text
        for name, text in answers.items()
    }
    examples = tuple(
        Example(name, dict.fromkeys(TASK.inputs, "x"), {"folder": "Work", "priority": 2})
        for name in answers
    )
    found = evaluate(
        "s",
        TASK,
        JSON,
        examples,
        completions(texts),
        record=RunRecord(engine={"dtype": dtype}),
        groups=groups,
    )
    if not margins:
        return found
    rows = tuple(
        replace(row, completion=replace(row.completion, margin=margin))
        for row, margin in zip(found.rows, margins, strict=True)
    )
    return replace(found, rows=rows)


BEFORE = said({"a": "Work 2", "b": "Work 1", "c": "Alerts 3", "d": "no idea", "e": "Work 2"})


def test_a_flip_is_another_answer_right_or_wrong():
    after = said({"a": "Work 3", "b": "Work 1", "c": "Personal 2", "d": "neither", "e": "oh"})
    rate = flip_rate(BEFORE, after)
    assert (rate.estimate.successes, rate.estimate.n) == (3, 5)
    assert [row.example.id for row in rate.counted_against] == ["a", "c", "e"]
    assert rate.counted_against[0] is after.rows[0]
    assert "priority 3/5, folder 2/5" in rate.weakest
    assert flip_rate(BEFORE, after, field="folder").estimate.successes == 2
    assert flip_rate(BEFORE, BEFORE).estimate.successes == 0


def test_the_commonest_move_is_named():
    after = said({"a": "Work 3", "e": "Work 3"})
    assert "most often medium became high (2)" in flip_rate(BEFORE, after).weakest


def test_only_rows_that_both_have_count():
    assert flip_rate(BEFORE, said({"e": "Work 2", "z": "Work 2"})).estimate.n == 1
    with pytest.raises(InsufficientData):
        flip_rate(BEFORE, said({}))
    with pytest.raises(InsufficientData):
        flip_rate(BEFORE)


def test_several_answers_to_one_row_are_one_cluster():
    after = said({"a": "Work 3", "b": "Work 1"})
    once = flip_rate(BEFORE, after).estimate
    thrice = flip_rate(BEFORE, after, after, after).estimate
    assert (once.method, thrice.method) == ("wilson", "wilson, clustered")
    assert thrice.n == 6
    # Asking the same again tells nothing new.
    assert thrice.high - thrice.low >= once.high - once.low


def test_near_duplicates_are_one_cluster():
    before = said({"a": "Work 2", "b": "Work 2", "c": "Work 2"}, groups=[0, 0, 1])
    after = said({"a": "Work 3", "b": "Work 3", "c": "Work 2"})
    assert flip_rate(before, after).estimate.method == "wilson, clustered"


def test_label_sets_are_the_same_in_any_order():
    row = Example("a", {"prompt": "x"}, {"intents": ("order_management", "payment")})
    reversed_values = INTENTS.fields["intents"].values[::-1]
    parts = {
        n: getattr(INTENTS.fields["intents"], n)
        for n in type(INTENTS.fields["intents"]).model_fields
    }
    field = type(INTENTS.fields["intents"])(**parts | {"values": reversed_values})
    other = INTENTS.model_copy(update={"fields": {"intents": field}})
    one, two = (
        evaluate(
            "s",
            task,
            LABELS,
            [row],
            completions({"a": "payment, order_management"}),
            record=RunRecord(),
        )
        for task in (INTENTS, other)
    )
    assert one.rows[0].predicted("intents") != two.rows[0].predicted("intents")
    assert flip_rate(one, two).estimate.successes == 0


def test_the_change_in_accuracy_is_paired():
    after = said({"a": "Work 3", "b": "Work 2", "c": "Alerts 1", "d": "Work 3", "e": "Work 3"})
    paired = accuracy_change(BEFORE, after, field="priority")
    assert paired.comparison.first.successes == 1
    assert paired.comparison.second.successes == 2
    assert paired.advantage == pytest.approx(-0.2)
    assert [row.example.id for row in paired.lost] == ["a", "e"]
    assert [row.example.id for row in paired.won] == ["b"]
    assert accuracy_change(BEFORE, after, after, field="folder").comparison.n == 10


def test_an_attack_succeeds_where_it_gets_what_it_did_not_have():
    attacked = said({"a": "Work 3", "b": "Work 1", "c": "Alerts 3", "d": "Work 3", "e": "Alerts 1"})
    targets = {name: {"priority": 3} for name in "abcd"} | {"e": {"folder": "Alerts"}}
    rate = attack_success_rate(BEFORE, attacked, targets)
    # c had it before.
    assert (rate.estimate.successes, rate.estimate.n) == (3, 4)
    assert [row.example.id for row in rate.counted_against] == ["a", "d", "e"]
    assert rate.weakest == "priority 2/3, folder 1/1"


def test_an_attack_that_only_shakes_the_answer_has_no_success():
    attacked = said({"a": "Work 1", "b": "none at all"})
    targets = {"a": {"priority": 3}, "b": {"priority": 3}}
    assert attack_success_rate(BEFORE, attacked, targets).estimate.successes == 0


def test_an_attack_on_a_set_succeeds_where_its_value_is_in_the_answer():
    examples = tuple(Example(name, {"prompt": "x"}, {"intents": ("inventory",)}) for name in "abc")
    before, attacked = (
        evaluate(
            "s",
            INTENTS,
            LABELS,
            examples,
            completions(dict(zip("abc", texts, strict=True))),
            record=RunRecord(),
        )
        for texts in (
            ["inventory", "inventory", "inventory, payment"],
            ["payment, inventory", "user_auth", "payment"],
        )
    )
    targets = {name: {"intents": ("payment",)} for name in "abc"}
    rate = attack_success_rate(before, attacked, targets)
    assert (rate.estimate.successes, rate.estimate.n) == (1, 2)


def test_numbers_are_pooled_over_evaluations():
    one, two = said({"a": "Work 3", "b": "eh"}), said({"a": "what", "b": "no"})
    rate = BEFORE.pooled(one, two).format_violation_rate()
    assert (rate.estimate.successes, rate.estimate.n) == (3, 4)
    assert rate.estimate.method == "wilson, clustered"
    assert len(rate.counted_against) == 3
    assert rate.evaluation.is_selection


NAMES = dict.fromkeys("abcd", "Work 2")
FIRST = said(NAMES, margins=[0.1, 0.1, 9.0, 9.0])
AGAIN = said(
    {"a": "Work 1", "b": "Work 2", "c": "Alerts 2", "d": "Work 2"}, margins=[0.2, 0.1, 0.1, 9.0]
)


def test_an_answer_that_differs_is_named_with_its_margin():
    rate = answer_instability(FIRST, AGAIN)
    assert (rate.estimate.successes, rate.estimate.n) == (2, 4)
    assert rate.weakest == (
        "c: folder Work/Alerts, margin 9.000; a: priority medium/low, margin 0.200"
    )


def test_a_near_tie_is_one_in_both_runs():
    rate = clear_difference_rate(FIRST, AGAIN)
    assert [row.example.id for row in rate.counted_against] == ["c"]


def test_what_a_near_tie_is_depends_on_the_precision():
    exact, exact_again = (
        replace(found, record=RunRecord(engine={"dtype": "float32"})) for found in (FIRST, AGAIN)
    )
    assert clear_difference_rate(exact, exact_again).estimate.successes == 2
    # The coarser type of the two decides.
    assert clear_difference_rate(exact, AGAIN).estimate.successes == 1


def test_without_logits_no_difference_is_a_near_tie():
    before = said(NAMES)
    after = said({**NAMES, "a": "Work 1"})
    assert clear_difference_rate(before, after).estimate.successes == 1
    assert "margin inf" in answer_instability(before, after).weakest


def test_many_differences_are_cut_short():
    names = [f"r{number}" for number in range(30)]
    before = said(dict.fromkeys(names, "Work 2"))
    after = said(dict.fromkeys(names, "Work 3"))
    assert answer_instability(before, after).weakest.endswith("; and 20 more")
