"""Does the model read descriptions, or has it memorised names? For every kind of task.

Every value gets a new, meaningless name and keeps its description.
"""

import pytest

from evalkit import DoesNotApply, accuracy_lost, relabelled, renamed

pytestmark = pytest.mark.needs("language_model")

NAMES = {
    "test": [
        "Amber",
        "Birch",
        "Cedar",
        "Delta",
        "Ember",
        "Fjord",
        "Grove",
        "Heath",
        "Inlet",
        "Jade",
    ],
    "dev": ["Kelp", "Lotus", "Mango", "Nadir", "Onyx", "Pearl", "Quill", "Reed", "Slate", "Thorn"],
}
"""By split."""
ROWS = 150


@pytest.mark.each_field
def test_values_under_new_names(evaluation, ask, gate, field, split):
    """How much accuracy came from the names alone."""
    spec = evaluation.task.fields[field]
    named = [value for value in spec.labels if value not in spec.exclusive]
    if spec.kind == "ordinal":
        raise DoesNotApply("the values of an ordinal field are its numbers")
    if len(named) > len(NAMES[split]):
        raise DoesNotApply(f"there are too few new names for {len(named)} values")
    names = dict(zip(named, NAMES[split], strict=False))
    rows = [row.example for row in evaluation.clean_rows[:ROWS]]
    task = renamed(evaluation.task, field, names)
    again = ask(
        f"new-names-for-{field.replace('_', '-')}", relabelled(rows, field, names), task=task
    )
    gate("renamed_labels_loss", accuracy_lost(field, (evaluation, again)), slice=field)
