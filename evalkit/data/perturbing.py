"""Changes to a row that leave its right labels as they were.

Every change is a pure function of a text and a seed, so the same rows are asked on every machine.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from evalkit.data.app_names import app_names
from evalkit.data.dev_changes import DEV_WAYS, Split
from evalkit.records import Example, Label
from evalkit.registry import Registry
from evalkit.tasks import Field, FieldKind, Task

Change = Callable[[str, random.Random], str]

NAME_INPUTS = frozenset({"app_name"})
"""Inputs that name something: nobody mistypes them or puts an emoji behind them."""

_SENTENCE_MARK = re.compile(r"(?<=[^\W_])([,.!?;:](?=\s|\Z)|[，。！？；：、])")
_GAP_AFTER_MARK = re.compile(r"(?<=[^\W\d_])([,.!?;:])[ ]+(?=\S)")
_LONG_WORD = re.compile(r"(?<![\w@/.#-])[A-Za-z]{5,}(?![\w@/-]|\.\w)")

_EMOJI = ("🙂", "✨", "📎", "🔹", "👋", "🍀")

_FULL_WIDTH = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}

APPS = app_names("suites")
"""Apps by their English and their Chinese names."""

_ENGLISH = {english.casefold(): chinese for english, chinese in APPS}
_CHINESE = {chinese: english for english, chinese in APPS}


@dataclass(frozen=True, slots=True)
class Perturbation:
    """A kind of change that does not matter."""

    ways: tuple[Change, ...]
    """One of them is drawn for a row; another where that one changes nothing."""
    on_names: bool = True
    """Whether inputs that name something are changed, too."""
    on_texts: bool = True
    """Whether all other inputs are."""


def lower(text: str, draw: random.Random) -> str:
    """Take the capitals away."""
    return text.lower()


def upper(text: str, draw: random.Random) -> str:
    """Put everything in capitals."""
    return text.upper()


def double_spaces(text: str, draw: random.Random) -> str:
    """Double every space."""
    return text.replace(" ", "  ")


def space_before_marks(text: str, draw: random.Random) -> str:
    """Put a space before the marks that end a phrase."""
    return _SENTENCE_MARK.sub(r" \1", text)


def no_space_after_marks(text: str, draw: random.Random) -> str:
    """Take the space after such a mark away."""
    return _GAP_AFTER_MARK.sub(r"\1", text)


def full_width(text: str, draw: random.Random) -> str:
    """Write ASCII letters, digits and signs in their full-width forms, as Chinese keyboards do."""
    return text.translate(_FULL_WIDTH)


def add_emoji(text: str, draw: random.Random) -> str:
    """Put an emoji that says nothing behind a text."""
    return f"{text} {draw.choice(_EMOJI)}" if text.strip() else text


def add_typo(text: str, draw: random.Random) -> str:
    """Swap two neighbouring letters of a longer word, or drop one; its ends stay."""
    words = list(_LONG_WORD.finditer(text))
    if not words:
        return text
    word = draw.choice(words)
    place = draw.randrange(word.start() + 1, word.end() - 2)
    swapped = text[place + 1] + text[place]
    if draw.random() < 0.5 and swapped != text[place : place + 2]:
        return text[:place] + swapped + text[place + 2 :]
    return text[:place] + text[place + 1 :]


def translate_app(text: str, draw: random.Random) -> str:
    """Call a well-known app by its name in the other language."""
    return _CHINESE.get(text) or _ENGLISH.get(text.casefold(), text)


def _read(name: str, loaded: Any) -> Perturbation | None:
    if isinstance(loaded, Perturbation):
        return loaded
    return Perturbation((loaded,)) if callable(loaded) else None


PERTURBATIONS = Registry[Perturbation](
    "perturbations",
    {
        "case": Perturbation((lower, upper)),
        "spacing": Perturbation((double_spaces, space_before_marks, no_space_after_marks)),
        "full-width": Perturbation((full_width,)),
        "emoji": Perturbation((add_emoji,), on_names=False),
        "typo": Perturbation((add_typo,), on_names=False),
        "app-name": Perturbation((translate_app,), on_texts=False),
    },
    _read,
)
"""A package adds a `Perturbation`, or one way as a function of a text and a `random.Random`."""


def perturb(
    kind: str,
    example: Example,
    seed: int = 0,
    split: Split = "test",
) -> Example | None:
    """Change an example in this way; None where that leaves it as it was.

    Raises:
        KeyError: there is no such kind.
    """
    perturbation = PERTURBATIONS.find(kind)
    if split == "dev" and kind in DEV_WAYS:
        perturbation = replace(perturbation, ways=DEV_WAYS[kind])
    draw = random.Random("\n".join([str(seed), kind, *example.inputs.values()]))
    for way in draw.sample(perturbation.ways, len(perturbation.ways)):
        inputs = {
            name: way(text, draw)
            if (perturbation.on_names if name in NAME_INPUTS else perturbation.on_texts)
            else text
            for name, text in example.inputs.items()
        }
        if inputs != dict(example.inputs):
            return replace(example, inputs=inputs)
    return None


def perturb_some(
    kind: str,
    examples: Sequence[Example],
    most: int,
    seed: int = 0,
    split: Split = "test",
) -> list[Example]:
    """Draw examples and change them in this way; at most so many, fewer where it applies to few.

    An example keeps its id, by which its answer is held against that to the original. On the dev
    split evalkit's own kinds are done in other ways.
    """
    found: list[Example] = []
    for example in draw_examples(examples, len(examples), seed):
        changed = perturb(kind, example, seed, split)
        if changed is not None:
            found.append(changed)
        if len(found) == most:
            break
    return found


def draw_examples(examples: Sequence[Example], most: int, seed: int = 0) -> list[Example]:
    """Draw examples by their ids and the seed alone: a row added elsewhere moves no other."""

    def rank(example: Example) -> bytes:
        return hashlib.sha256(f"{seed}:{example.id}".encode()).digest()

    return sorted(examples, key=rank)[:most]


def reorder_values(task: Task, examples: Sequence[Example]) -> tuple[Task, list[Example]]:
    """List the values of every field that is not a scale in the opposite order.

    Returns:
        The task, and the examples with their label sets in its order. A task of nothing but
        scales comes back as it was.
    """
    fields = {name: _reversed(field) for name, field in task.fields.items()}
    # Built anew rather than copied: a copy would keep the values it has looked up.
    parts = {name: getattr(task, name) for name in type(task).model_fields}
    reordered = Task(**parts | {"fields": fields})
    changed = [
        replace(
            example,
            labels={
                n: _in_order(label, reordered.fields[n]) for n, label in example.labels.items()
            },
        )
        for example in examples
    ]
    return reordered, changed


def _reversed(field: Field) -> Field:
    if field.kind is FieldKind.ORDINAL:
        return field
    parts = {name: getattr(field, name) for name in type(field).model_fields}
    return Field(**parts | {"values": field.values[::-1]})


def _in_order(label: Label, field: Field) -> Label:
    if not isinstance(label, tuple):
        return label
    return tuple(str(value) for value in field.labels if value in label)
