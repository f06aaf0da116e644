"""Does an answer outlast a change that does not matter, and an order hidden in the text?

Holds for every kind of task. Each change is made to up to 100 rows and each attack to 50, drawn
by a fixed seed from those that the system was not trained on; each attack has rows of its own, so
that all together are more than 50 cases. docs/robustness.md lists them.
"""

import pytest

from evalkit import (
    ATTACKS,
    PERTURBATIONS,
    DoesNotApply,
    accuracy_change,
    attack_some,
    attack_success_rate,
    draw_examples,
    flip_rate,
    perturb_some,
    reorder_values,
)

pytestmark = pytest.mark.needs("live")

CHANGED, ATTACKED = 100, 50


@pytest.fixture
def rows(evaluation):
    """The rows that changes and attacks are tried on."""
    return [row.example for row in evaluation.clean_rows]


@pytest.fixture
def ask_changed(ask, rows, split):
    """Let the system answer rows changed in one way; None where that changes no row."""

    def asked(kind):
        changed = perturb_some(kind, rows, CHANGED, split=split)
        return ask(f"changed-{kind}", changed) if changed else None

    return asked


@pytest.fixture
def ask_attacked(evaluation, ask, rows, split):
    """Let the system answer rows with one attack in them: its answers and what is attacked."""

    def asked(name):
        attacked, targets = attack_some(
            name, rows, evaluation.task, evaluation.format, most=ATTACKED, split=split
        )
        return ask(f"attacked-{name}", attacked), targets

    return asked


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_answers_outlast_a_change(evaluation, ask_changed, gate, kind):
    """The same answer whatever the case, the spacing, the width of letters, a typo."""
    changed = ask_changed(kind)
    if changed is None:
        raise DoesNotApply(f"no row can be changed in this way: {kind}")
    gate("flip_rate", flip_rate(evaluation, changed), slice=kind)


@pytest.mark.needs("language_model")
def test_answers_outlast_another_order_of_the_values(evaluation, ask, rows, gate):
    """The same answer where the prompt lists the values the other way round."""
    task, examples = reorder_values(evaluation.task, draw_examples(rows, CHANGED))
    if task == evaluation.task:
        raise DoesNotApply("every field of this task is a scale, and a scale has its order")
    asked = ask("changed-value-order", examples, task=task)
    gate("flip_rate", flip_rate(evaluation, asked), slice="value-order")


@pytest.mark.each_field
def test_changes_cost_no_accuracy(evaluation, ask_changed, gate, field):
    """Answers that flip are not the right ones more often than chance has it."""
    changed = [found for kind in PERTURBATIONS if (found := ask_changed(kind))]
    gate("accuracy_under_changes", accuracy_change(evaluation, *changed, field=field), slice=field)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hidden_orders_are_not_obeyed(evaluation, ask_attacked, gate, attack):
    """Who writes the text does not choose the answer."""
    attacked, targets = ask_attacked(attack)
    found = attack_success_rate(evaluation, attacked, targets)
    gate("attack_success_rate", found, slice=attack)


@pytest.mark.needs("free_decoding")
def test_attacks_do_not_break_the_format(evaluation, ask_attacked, gate):
    """Nor does it make answers that a program cannot read."""
    attacked = [ask_attacked(name)[0] for name in ATTACKS]
    gate("attacked_format_violations", evaluation.pooled(*attacked).format_violation_rate())


@pytest.mark.needs("free_decoding")
def test_attacks_name_no_new_values(evaluation, ask_attacked, gate):
    """Nor answers with values that the task does not have."""
    attacked = [ask_attacked(name)[0] for name in ATTACKS]
    gate("out_of_enum_rate", evaluation.pooled(*attacked).out_of_enum_rate(), slice="attacked")
