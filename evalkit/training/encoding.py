"""Examples -> token ids, and what each token of an answer counts in the loss."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from evalkit.engines.chat import Chat
from evalkit.errors import UserError
from evalkit.formats import Format
from evalkit.records import Example, Label
from evalkit.tasks import Field, FieldKind, Task
from evalkit.training.prefix_sharing import Row
from evalkit.training.recipe import Recipe


@dataclass(frozen=True)
class LabelWeights:
    """What a token that says a label counts in the loss; every other token counts 1."""

    label: float
    """On the tokens of all labels."""
    values: Mapping[str, Mapping[Label, float]]
    """Field name -> value -> a further factor on the tokens of that value."""

    def of(self, field: str, value: Label) -> float:
        """The weight of a label's tokens."""
        return self.label * self.values.get(field, {}).get(value, 1.0)


def label_weights(task: Task, recipe: Recipe, train: Sequence[Example]) -> LabelWeights | None:
    """What a recipe asks for, or None where every token counts alike.

    A value's balanced weight is rows / (values * rows with it): all values of a field then
    count as much in sum, and the mean row counts 1.

    Raises:
        UserError: balanced weights where a value has no row, or of a multi-label field.
    """
    if not recipe.weighs_labels:
        return None
    values: dict[str, dict[Label, float]] = {}
    if recipe.class_weights == "balanced":
        for name, field in task.fields.items():
            if field.kind is FieldKind.MULTI_LABEL:
                raise UserError(
                    f"[recipe] class_weights: field '{name}' holds sets of values, which have no "
                    "frequency each to balance. Leave class_weights out."
                )
            if missing := missing_values(task, train).get(name):
                raise UserError(
                    f"[recipe] class_weights: no training row has {name} = {missing[0]!r}, so it "
                    "cannot be balanced. Add rows of it, or leave class_weights out."
                )
            counts = Counter(example.labels[name] for example in train)
            values[name] = {
                value: len(train) / (len(counts) * count) for value, count in counts.items()
            }
    return LabelWeights(recipe.label_weight, values)


def missing_values(task: Task, train: Sequence[Example]) -> dict[str, list[str | int]]:
    """Field name -> the values that no row has; fields without such values are left out."""
    missing = {}
    for name, field in task.fields.items():
        seen = {value for example in train for value in _values(example.labels[name])}
        if absent := [value for value in field.labels if value not in seen]:
            missing[name] = absent
    return missing


def encode_rows(
    task: Task,
    fmt: Format,
    chat: Chat,
    examples: Sequence[Example],
    weights: LabelWeights | None = None,
) -> list[Row]:
    """Examples -> token ids, with the renderer and chat template that inference uses."""
    rows = []
    for example in examples:
        prompt = chat.encode_prompt(fmt.prompt(task, example.inputs))
        answer = chat.encode_answer(fmt.render(task, example.labels, example.inputs))
        row = Row(input_ids=prompt + answer, prompt_length=len(prompt))
        if weights is not None:
            row["weights"] = _weigh(task, fmt, chat, example, answer, weights)
        rows.append(row)
    return rows


def _weigh(
    task: Task,
    fmt: Format,
    chat: Chat,
    example: Example,
    answer: Sequence[int],
    weights: LabelWeights,
) -> list[float]:
    """A weight for each token of an answer.

    The tokens that say a label are those that another label would change.
    """
    weighed = [1.0] * len(answer)
    for name, field in task.fields.items():
        said = example.labels[name]
        for other in _others(field, said):
            text = fmt.render(task, {**example.labels, name: other}, example.inputs)
            start, end = _changed(answer, chat.encode_answer(text))
            weighed[start:end] = [weights.of(name, said)] * (end - start)
    return weighed


def _others(field: Field, said: Label) -> Sequence[Label]:
    # Two, as one may by chance begin or end with the same token.
    if field.kind is FieldKind.MULTI_LABEL:
        return [(str(value),) for value in field.labels if (value,) != said][:2]
    return [value for value in field.labels if value != said][:2]


def _changed(ids: Sequence[int], other: Sequence[int]) -> tuple[int, int]:
    """Where `ids` differs from `other`: from here to there, at least one token."""
    shorter = min(len(ids), len(other))
    start = next((i for i in range(shorter) if ids[i] != other[i]), shorter)
    tail = next(
        (i for i in range(shorter - start) if ids[-1 - i] != other[-1 - i]), shorter - start
    )
    return start, max(len(ids) - tail, start + 1)


def _values(label: Label) -> tuple[str | int, ...]:
    return label if isinstance(label, tuple) else (label,)
