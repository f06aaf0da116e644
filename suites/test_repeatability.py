"""Does a row get the same answer, whatever shares its batch? For every kind of task.

Batching changes the order of floating-point sums, and rounding may then decide between two tokens
that are almost equally likely: a near-tie.
"""

from dataclasses import replace

import pytest

from evalkit import DoesNotApply, answer_instability, clear_difference_rate, draw_examples

pytestmark = pytest.mark.needs("language_model")

PADDED = 240
BATCH = 16


def one_by_one(ask, rows):
    """Each row on its own."""
    return [ask("again-one-by-one", rows, batch_size=1, apart=True)]


def reversed_order(ask, rows):
    """Different neighbours for each row."""
    return [ask("again-reversed", rows[::-1], batch_size=7, apart=True)]


def padded(ask, rows):
    """Every batch is padded to a row four times as long as the longest."""
    longest = max(rows, key=lambda row: sum(map(len, row.inputs.values())))
    inputs = {name: " ".join([text] * 4) for name, text in longest.inputs.items()}
    long = replace(longest, id="long", inputs=inputs)
    drawn = draw_examples(rows, PADDED)
    batches = [[long, *drawn[at : at + BATCH - 1]] for at in range(0, len(drawn), BATCH - 1)]
    return [
        ask(f"again-padded-{number}", batch, batch_size=BATCH, apart=True)
        for number, batch in enumerate(batches)
    ]


def on_the_processor(ask, rows):
    """On the CPU, where the session runs on another device."""
    return [ask("again-on-cpu", rows, device="cpu", apart=True)]


WAYS = {
    "one-by-one": one_by_one,
    "reversed": reversed_order,
    "padded": padded,
    "device": on_the_processor,
}


@pytest.fixture(params=WAYS)
def way(request):
    """How the rows are asked again."""
    return request.param


@pytest.fixture
def again(evaluation, ask, way):
    """The system's answers when asked again."""
    if way == "device" and evaluation.record.engine.get("device", "cpu") == "cpu":
        raise DoesNotApply("the run was on the CPU, and there is no other device")
    return WAYS[way](ask, [row.example for row in evaluation.rows])


def test_next_to_no_answer_differs(evaluation, again, gate, way):
    """A row's answer does not depend on its batch."""
    gate("answer_instability", answer_instability(evaluation, *again), slice=way)


def test_what_differs_was_a_near_tie(evaluation, again, gate, way):
    """And where it does, the two answers were a near-tie."""
    gate("clear_differences", clear_difference_rate(evaluation, *again), slice=way)
