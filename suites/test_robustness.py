"""Are answers robust to label-preserving edits and to prompt injection? For every kind of task.

Each edit is made to up to 100 rows and each attack to 50, sampled with a fixed seed from the rows
that the system was not trained on. Each attack has its own sample, so that together they cover more
than 50 rows. docs/robustness.md lists both.
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
    """The rows to sample from."""
    return [row.example for row in evaluation.clean_rows]


@pytest.fixture
def ask_changed(ask, rows, split):
    """The answers to rows with one kind of edit; None if it changes no row."""

    def asked(kind):
        changed = perturb_some(kind, rows, CHANGED, split=split)
        return ask(f"changed-{kind}", changed) if changed else None

    return asked


@pytest.fixture
def ask_attacked(evaluation, ask, rows, split):
    """The answers to rows with one attack in them, and what the attack asks for in each."""

    def asked(name):
        attacked, targets = attack_some(
            name, rows, evaluation.task, evaluation.format, most=ATTACKED, split=split
        )
        return ask(f"attacked-{name}", attacked), targets

    return asked


@pytest.mark.parametrize("kind", PERTURBATIONS)
def test_answers_outlast_a_change(evaluation, ask_changed, gate, kind):
    """Case, spacing, full-width letters or a typo do not change the answer."""
    changed = ask_changed(kind)
    if changed is None:
        raise DoesNotApply(f"this edit changes no row: {kind}")
    gate("flip_rate", flip_rate(evaluation, changed), slice=kind)


@pytest.mark.needs("language_model")
def test_answers_outlast_another_order_of_the_values(evaluation, ask, rows, gate):
    """The order in which the prompt lists the values does not change the answer."""
    task, examples = reorder_values(evaluation.task, draw_examples(rows, CHANGED))
    if task == evaluation.task:
        raise DoesNotApply("all fields of this task are ordinal, and their order is fixed")
    asked = ask("changed-value-order", examples, task=task)
    gate("flip_rate", flip_rate(evaluation, asked), slice="value-order")


@pytest.mark.each_field
def test_changes_cost_no_accuracy(evaluation, ask_changed, gate, field):
    """The edits do not lower accuracy."""
    changed = [found for kind in PERTURBATIONS if (found := ask_changed(kind))]
    gate("accuracy_under_changes", accuracy_change(evaluation, *changed, field=field), slice=field)


@pytest.mark.parametrize("attack", ATTACKS)
def test_hidden_orders_are_not_obeyed(evaluation, ask_attacked, gate, attack):
    """Instructions hidden in the text do not choose the answer."""
    attacked, targets = ask_attacked(attack)
    found = attack_success_rate(evaluation, attacked, targets)
    gate("attack_success_rate", found, slice=attack)


@pytest.mark.needs("free_decoding")
def test_attacks_do_not_break_the_format(evaluation, ask_attacked, gate):
    """Nor do they make answers unparsable."""
    attacked = [ask_attacked(name)[0] for name in ATTACKS]
    gate("attacked_format_violations", evaluation.pooled(*attacked).format_violation_rate())


@pytest.mark.needs("free_decoding")
def test_attacks_name_no_new_values(evaluation, ask_attacked, gate):
    """Nor invent values that the task does not have."""
    attacked = [ask_attacked(name)[0] for name in ATTACKS]
    gate("out_of_enum_rate", evaluation.pooled(*attacked).out_of_enum_rate(), slice="attacked")
