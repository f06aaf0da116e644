"""Label-space augmentation: another list of values for each micro-batch.

The values' list stands in the prompt. All rows of a micro-batch get the same one, so its prefix
stays shared; the next micro-batch gets another.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch

from evalkit.engines.chat import Chat
from evalkit.errors import UserError, did_you_mean
from evalkit.formats import Format, get_format
from evalkit.records import Example, Label
from evalkit.tasks import Field, FieldKind, Task
from evalkit.tasks.task import FieldValue
from evalkit.training.encoding import LabelWeights, encode_rows
from evalkit.training.prefix_sharing import Row, SharedPrefixCollator
from evalkit.training.recipe import Augmentation

BLANK = 0.5
"""Share of the changed lists that take all their names from `blank_names`, where there are any."""


def check_augmentation(task: Task, augment: Augmentation) -> None:
    """Refuse an augmentation that does not fit the task.

    Raises:
        UserError: naming the key.
    """
    where = "[recipe.augment]"
    if augment.field not in task.fields:
        raise UserError(
            f"{where} field: task '{task.name}' has no field '{augment.field}'."
            + did_you_mean(augment.field, task.fields)
        )
    field = task.fields[augment.field]
    if field.kind is FieldKind.ORDINAL:
        raise UserError(
            f"{where} field: the values of '{augment.field}' are numbers in order; only names "
            "can be changed."
        )
    taken = {str(label) for label in field.labels}
    for value in augment.names:
        if value not in taken:
            raise UserError(
                f"{where} names: '{value}' is not a value of '{augment.field}'."
                + did_you_mean(value, taken)
            )
    named = [*augment.distractors, *(name for names in augment.names.values() for name in names)]
    for name in [*named, *augment.blank_names]:
        if name in taken:
            raise UserError(f"{where}: '{name}' stands for two values of '{augment.field}'.")
        taken.add(name)
    longest = len(field.labels) + min(augment.most_distractors, len(augment.distractors))
    if 0 < len(augment.blank_names) < longest:
        raise UserError(
            f"{where} blank_names: a list of '{augment.field}' may have {longest} values, and "
            f"here are names for {len(augment.blank_names)}."
        )


class AugmentingCollator:
    """Rows -> a micro-batch under a task whose values are renamed, dropped, moved or joined.

    What is drawn follows from the seed and the rows alone, so a resumed training draws the
    same again.
    """

    def __init__(
        self,
        examples: Sequence[Example],
        task: Task,
        fmt: Format,
        chat: Chat,
        augment: Augmentation,
        *,
        weights: LabelWeights | None,
        seed: int,
        collate: SharedPrefixCollator,
    ) -> None:
        self.examples = examples
        self.task = task
        self.format = fmt
        self.chat = chat
        self.augment = augment
        self.weights = weights
        self.seed = seed
        self.collate = collate

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Collate a micro-batch; dev rows, which do not say which example they are, as it is."""
        if "example" not in rows[0]:
            return self.collate(rows)
        numbers = [row["example"] for row in rows]
        draw = random.Random(f"{self.seed} {numbers}")
        if draw.random() >= self.augment.share:
            return self.collate(rows)
        examples = [self.examples[number] for number in numbers]
        task, renamed = vary_task(self.task, self.augment, examples, draw)
        fmt = get_format(self.format.name, task)
        changed = [_rename(example, task, self.augment.field, renamed) for example in examples]
        weights = self.weights and _rename_weights(self.weights, self.augment.field, renamed)
        return self.collate(encode_rows(task, fmt, self.chat, changed, weights))


def vary_task(
    task: Task, augment: Augmentation, examples: Sequence[Example], draw: random.Random
) -> tuple[Task, dict[str, str]]:
    """A task with another list of values that still holds every label of the examples.

    Returns:
        The task, and the new name of every value that is left.
    """
    field = task.fields[augment.field]
    wanted = {value for example in examples for value in _texts(example.labels[augment.field])}
    kept = [v for v in field.values if v.value in wanted or draw.random() >= augment.drop]
    names = {
        str(v.value): draw.choice([str(v.value), *augment.names.get(str(v.value), ())])
        for v in kept
    }
    count = min(draw.randint(0, augment.most_distractors), len(augment.distractors))
    joining = draw.sample(sorted(augment.distractors), count)
    values = list(kept)
    values += [FieldValue(value=name, description=augment.distractors[name]) for name in joining]
    if augment.blank_names and draw.random() < BLANK:
        blank = draw.sample(augment.blank_names, len(values))
        names = {str(v.value): name for v, name in zip(values, blank, strict=True)}
    values = [v.model_copy(update={"value": names.get(str(v.value), v.value)}) for v in values]
    renamed = {str(v.value): names[str(v.value)] for v in kept}
    if augment.reorder:
        draw.shuffle(values)
    if len(values) < 2:
        # One value alone is nothing to choose from, and not a valid field.
        return task, {str(label): str(label) for label in field.labels}
    # Built anew rather than copied: the values are looked up in what a copy would keep cached.
    # Mappings lead to the task's own names and are not needed once the rows are read.
    changed = Field(
        kind=field.kind, title=field.title, paths=field.paths, values=tuple(values), mappings={}
    )
    parts = {name: getattr(task, name) for name in type(task).model_fields}
    fields = {**task.fields, augment.field: changed}
    return Task(**parts | {"fields": fields}), renamed


def _rename(example: Example, task: Task, field: str, renamed: Mapping[str, str]) -> Example:
    label = example.labels[field]
    new: Label
    if isinstance(label, tuple):
        names = {renamed[value] for value in label}
        new = tuple(str(value) for value in task.fields[field].labels if value in names)
    else:
        new = renamed[str(label)]
    return Example(example.id, example.inputs, {**example.labels, field: new})


def _rename_weights(weights: LabelWeights, field: str, renamed: Mapping[str, str]) -> LabelWeights:
    values = {renamed.get(str(v), v): w for v, w in weights.values.get(field, {}).items()}
    return LabelWeights(weights.label, {**weights.values, field: values})


def _texts(label: Label) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)
