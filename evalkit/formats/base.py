"""What every format offers, and the prompt they share."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from itertools import chain, combinations, product
from typing import ClassVar

from evalkit.errors import UserError
from evalkit.records import Function, Label, ParsedAnswer, Prompt, Span
from evalkit.tasks import Task
from evalkit.thoughts import ALL, Thoughts


class Format(ABC):
    """A way to write a label as text and read it back."""

    name: ClassVar[str]
    """What `format =` in a system.toml says."""

    def __init__(self, thoughts: Thoughts = ALL) -> None:
        """Take which parts of a text are no answer."""
        self.thoughts = thoughts

    def check(self, task: Task) -> None:  # noqa: B027 (most formats write every task)
        """Raise `UserError` where this format cannot write the task's labels."""

    @abstractmethod
    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask about one input. Everything but the inputs is the same for all of them."""

    @abstractmethod
    def render(self, task: Task, labels: Mapping[str, Label], inputs: Mapping[str, str]) -> str:
        """Write the canonical answer: one text for one label (and input, where it is copied)."""

    @abstractmethod
    def parse(self, task: Task, text: str) -> ParsedAnswer:
        """Read any text, strictly and leniently. Never raises."""

    def grammar(self, task: Task) -> dict[str, str]:
        """The canonical answers in GBNF: rule -> its right side, the first being `root`.

        Raises:
            UserError: this format has no grammar.
        """
        raise UserError(f"Format '{self.name}' has no grammar. `json` has one for every task.")


def build_prompt(
    task: Task, inputs: Mapping[str, str], how_to_answer: str, function: Function | None = None
) -> Prompt:
    """Lay out a task's instruction, its values and one input.

    The instructions hold nothing of the input, so that all prompts of a task share them. In
    the user's turn each input's text is an untrusted span of its own.
    """
    parts = [task.instruction]
    for field in task.fields.values():
        lines = [f"{field.title}:"]
        for value in field.values:
            name = f"{value.value} ({value.name})" if value.name else str(value.value)
            lines.append(f"- {name}: {value.description}")
        parts.append("\n".join(lines))
    parts.append(f"{how_to_answer}\n{task.closing}" if task.closing else how_to_answer)
    user: list[Span] = []
    for name, spec in task.inputs.items():
        lead = f"{spec.title}: " if not user else f"\n{spec.title}: "
        user += [Span(lead, trusted=True), Span(inputs[name], trusted=False)]
    return Prompt("\n\n".join(parts), tuple(user), function)


def longest_labels(task: Task) -> dict[str, Label]:
    """For each field the label whose text is longest; bounds how long an answer can be."""
    longest: dict[str, Label] = {}
    for name, field in task.fields.items():
        if field.kind == "multi-label":
            longest[name] = tuple(str(v) for v in field.labels if v not in field.exclusive)
        else:
            longest[name] = max(field.labels, key=lambda label: len(str(label)))
    return longest


def canonical_labels(task: Task, most: int = 64) -> tuple[dict[str, Label], ...]:
    """Every combination of labels an answer can have; none where there are more than `most`.

    Sets of a multi-label field come smallest first.
    """
    choices: list[list[Label]] = []
    total = 1
    for field in task.fields.values():
        if field.kind == "multi-label":
            free = [str(v) for v in field.labels if v not in field.exclusive]
            alone: list[Label] = [(str(v),) for v in field.exclusive]
            if 2 ** len(free) > most:
                return ()
            sets = (combinations(free, size) for size in range(1, len(free) + 1))
            choices.append([*alone, *chain.from_iterable(sets)])
        else:
            choices.append(list(field.labels))
        total *= len(choices[-1])
        if total > most:
            return ()
    return tuple(dict(zip(task.fields, found, strict=True)) for found in product(*choices))


def empty_prompt(task: Task, fmt: Format) -> Prompt:
    """Ask about an input of empty strings; the hash of it identifies how a task is asked."""
    return fmt.prompt(task, dict.fromkeys(task.inputs, ""))
