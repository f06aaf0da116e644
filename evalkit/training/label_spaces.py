"""Label spaces: another list of values for each micro-batch.

The values' list is in the prompt. All rows of a micro-batch get the same one, so its prefix
stays shared; the next micro-batch gets another: the task's own values under other names, in
another order and company; nothing but topics; or a topic or two beside the task's own values.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from evalkit.errors import UserError, did_you_mean
from evalkit.records import Example, Label
from evalkit.tasks import Field, FieldKind, Task
from evalkit.tasks.task import FieldValue
from evalkit.training.places import Kind, Space
from evalkit.training.recipe import LabelSpaces
from evalkit.training.topics import TAG, Topics, names_of

BLANK = 0.5
"""Share of the changed lists that take all their names from `blank_names`, where there are any."""
MOST_BESIDE = 2
"""Topics with rows that stand beside the task's own values, at most."""


class Varied(NamedTuple):
    """A task with another list of values, and the examples under it."""

    task: Task
    examples: list[Example]
    renamed: Mapping[str, str]
    """The task's own value -> its new name, for those that are left."""


def check_label_spaces(task: Task, spaces: LabelSpaces, topics: Topics | None = None) -> None:
    """Refuse label spaces that do not fit the task.

    Raises:
        UserError: naming the key.
    """
    where = "[recipe.labels]"
    if spaces.field not in task.fields:
        raise UserError(
            f"{where} field: task '{task.name}' has no field '{spaces.field}'."
            + did_you_mean(spaces.field, task.fields)
        )
    field = task.fields[spaces.field]
    if field.kind is FieldKind.ORDINAL:
        raise UserError(
            f"{where} field: the values of '{spaces.field}' are numbers in order; only names "
            "can be changed."
        )
    if topics and field.kind is not FieldKind.CHOICE:
        raise UserError(
            f"{where} topics: '{spaces.field}' holds sets of values, and a row has one topic."
        )
    values = {str(label) for label in field.labels}
    for value in spaces.names:
        if value not in values:
            raise UserError(
                f"{where} names: '{value}' is not a value of '{spaces.field}'."
                + did_you_mean(value, values)
            )
    taken = {value.casefold() for value in values}
    named = [*spaces.distractors, *(name for names in spaces.names.values() for name in names)]
    called = [name for key, topic in (topics or {}).items() for name in names_of(key, topic)]
    for name in [*named, *called, *spaces.blank_names]:
        if name.casefold() in taken:
            raise UserError(f"{where}: '{name}' stands for two values of '{spaces.field}'.")
        taken.add(name.casefold())
    longest = _longest(field, spaces, topics or {})
    if 0 < len(spaces.blank_names) < longest:
        raise UserError(
            f"{where} blank_names: a list of '{spaces.field}' may have {longest} values, and "
            f"here are names for {len(spaces.blank_names)}."
        )
    if topics is not None and len(topics) < spaces.most:
        raise UserError(
            f"{where} most: a list of {spaces.most} topics cannot be drawn from {len(topics)}."
        )


def _longest(field: Field, spaces: LabelSpaces, topics: Topics) -> int:
    own = len(field.labels) + min(spaces.most_distractors, len(spaces.distractors))
    if not topics:
        return own
    beside = MOST_BESIDE + min(spaces.most_distractors, len(spaces.distractors) + len(topics))
    return max(own, len(field.labels) + beside, spaces.most)


def vary(
    task: Task,
    spaces: LabelSpaces,
    topics: Topics,
    space: Space,
    examples: Sequence[Example],
    draw: random.Random,
) -> Varied:
    """Draw a list of values that holds the right one of every example.

    Args:
        task: the task as it is.
        spaces: what may be drawn.
        topics: the topics there are.
        space: what the examples were chosen for.
        examples: a micro-batch.
        draw: decides.

    Returns:
        The task with that list, and the examples labelled by it.
    """
    field = task.fields[spaces.field]
    if space.kind is Kind.TOPICS:
        values = _topic_values(spaces, topics, space, draw)
    else:
        values = [
            *_own_values(field, spaces, space, examples, draw),
            *(_topic_value(name, topics, draw) for name in space.topics),
            *_distractors(spaces, topics, examples, draw),
        ]
    if len(values) < 2:
        # One value alone is nothing to choose from, and not a valid field.
        return Varied(task, list(examples), {str(label): str(label) for label in field.labels})
    names = {key: value.value for key, value in values}
    if spaces.blank_names and draw.random() < BLANK:
        blank = draw.sample(spaces.blank_names, len(values))
        names = {key: name for (key, _), name in zip(values, blank, strict=True)}
    listed = [value.model_copy(update={"value": names[key]}) for key, value in values]
    if spaces.reorder:
        draw.shuffle(listed)
    varied = _with_values(task, spaces.field, listed)
    labelled = [_relabel(e, varied, spaces.field, space, names) for e in examples]
    renamed = {
        str(label): str(names[_own(label)]) for label in field.labels if _own(label) in names
    }
    return Varied(varied, labelled, renamed)


Keyed = tuple[tuple[str, str], FieldValue]
"""What a value of a list stands for (`own` or `topic`, and its name there), and the value."""


def _own(label: str | int) -> tuple[str, str]:
    return "own", str(label)


def _own_values(
    field: Field,
    spaces: LabelSpaces,
    space: Space,
    examples: Sequence[Example],
    draw: random.Random,
) -> list[Keyed]:
    staying = [example for example in examples if example.tags.get(TAG) not in space.topics]
    wanted = {value for example in staying for value in _texts(example.labels[spaces.field])}
    kept = [v for v in field.values if v.value in wanted or draw.random() >= spaces.drop]
    values = []
    for value in kept:
        name = draw.choice([str(value.value), *spaces.names.get(str(value.value), ())])
        values.append((_own(value.value), value.model_copy(update={"value": name})))
    return values


def _topic_values(
    spaces: LabelSpaces, topics: Topics, space: Space, draw: random.Random
) -> list[Keyed]:
    """The examples' topics, and others until the list is as long as is drawn."""
    size = draw.randint(max(spaces.fewest, len(space.topics)), max(spaces.most, len(space.topics)))
    others = draw.sample(sorted(topics), len(topics))
    listed = list(space.topics)
    near = {other for name in listed for other in topics[name].near}
    listed += [n for n in others if n not in near and n not in listed][: size - len(listed)]
    return [_topic_value(name, topics, draw) for name in listed]


def _topic_value(name: str, topics: Topics, draw: random.Random) -> Keyed:
    topic = topics[name]
    called = draw.choice(names_of(name, topic))
    says = draw.choice((topic.description, *topic.descriptions))
    return ("topic", name), FieldValue(value=called, description=says)


def _distractors(
    spaces: LabelSpaces, topics: Topics, examples: Sequence[Example], draw: random.Random
) -> list[Keyed]:
    """Values that are right for none of the examples: topics only where all of these have one."""
    present = {example.tags.get(TAG) for example in examples}
    others: list[str] = []
    if None not in present:
        near = {other for name in present for other in topics[str(name)].near}
        others = [name for name in sorted(topics) if name not in present | near]
    count = draw.randint(0, spaces.most_distractors)
    found = draw.sample(
        [("distractor", name) for name in sorted(spaces.distractors)]
        + [("topic", name) for name in others],
        min(count, len(spaces.distractors) + len(others)),
    )
    return [
        _topic_value(name, topics, draw)
        if kind == "topic"
        else ((kind, name), FieldValue(value=name, description=spaces.distractors[name]))
        for kind, name in found
    ]


def _with_values(task: Task, name: str, values: Sequence[FieldValue]) -> Task:
    field = task.fields[name]
    # Built anew rather than copied: the values are looked up in what a copy would keep cached.
    # Mappings lead to the task's own names and are not needed once the rows are read.
    changed = Field(
        kind=field.kind, title=field.title, paths=field.paths, values=tuple(values), mappings={}
    )
    parts = {key: getattr(task, key) for key in type(task).model_fields}
    return Task(**parts | {"fields": {**task.fields, name: changed}})


def _relabel(
    example: Example,
    varied: Task,
    field: str,
    space: Space,
    names: Mapping[tuple[str, str], str | int],
) -> Example:
    label, topic = example.labels[field], example.tags.get(TAG)
    new: Label
    if topic in space.topics:
        new = names["topic", str(topic)]
    elif isinstance(label, tuple):
        wanted = {names[_own(value)] for value in label}
        new = tuple(str(value) for value in varied.fields[field].labels if value in wanted)
    else:
        new = names[_own(label)]
    return replace(example, labels={**example.labels, field: new})


def _texts(label: Label) -> tuple[str, ...]:
    return label if isinstance(label, tuple) else (str(label),)
