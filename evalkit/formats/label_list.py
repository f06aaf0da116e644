"""The `labels` format: the values of one multi-label field, comma-separated."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import partial
from itertools import groupby

from evalkit.errors import UserError
from evalkit.formats.base import Format, build_prompt
from evalkit.formats.grammar import Rules, sets_of
from evalkit.formats.reading import ReadError, read_both
from evalkit.formats.values import SEPARATORS, check_listable, check_written, read_value
from evalkit.records import FailureReason, Label, ParsedAnswer, Prediction, Prompt
from evalkit.tasks import Field, FieldKind, Task
from evalkit.thoughts import Thoughts

_MOST_LINES = 1_000
"""More lines than a list has after any preamble; bounds the work on an endless text."""

_IDENTIFIER = re.compile(r"[^\W\d][\w-]{0,63}")
_BULLET = re.compile(r"\s*(?:[-*•]|\d{1,3}[.)])\s+")
_FENCE = re.compile(r"\s*```\w*\s*")
_PREFIX = re.compile("([^,;:，；、：]{1,40})[:：]")
_DECORATION = " \t\u3000\"'`*.[](){}“”‘’「」。"


class LabelList(Format):
    """`user_auth, payment`, in the task's order."""

    name = "labels"

    def check(self, task: Task) -> None:
        """Raise `UserError` unless the task is one multi-label field of plain names."""
        kinds = [field.kind for field in task.fields.values()]
        if kinds != [FieldKind.MULTI_LABEL]:
            raise UserError(
                f"Format 'labels' writes one multi-label field; task '{task.name}' has "
                f"{', '.join(f'{n} ({f.kind})' for n, f in task.fields.items())}. "
                "Use format 'json'."
            )
        check_listable(self.name, task, task.fields)

    def prompt(self, task: Task, inputs: Mapping[str, str]) -> Prompt:
        """Ask for a comma-separated list."""
        return build_prompt(task, inputs, "Respond with ONLY the names, separated by commas.")

    def render(
        self,
        task: Task,
        labels: Mapping[str, Label],
        inputs: Mapping[str, str],
    ) -> str:
        """Write the names, separated by a comma and a space."""
        (name,) = task.fields
        label = labels[name]
        assert isinstance(label, tuple)
        return ", ".join(label)

    def parse(self, task: Task, text: str) -> ParsedAnswer:
        """Strictly, the text is one list; leniently, the first line of known names counts."""
        lenient = partial(_read_leniently, task, self.thoughts)
        return read_both(text, partial(_read_strictly, task), lenient, self.thoughts)

    def grammar(self, task: Task) -> Rules:
        """The canonical answers in GBNF."""
        (field,) = task.fields.values()
        names = [str(label) for label in field.labels]
        return {"root": "field-0", **sets_of("field-0", field, names)}


def _read_strictly(task: Task, text: str) -> Prediction:
    ((name, field),) = task.fields.items()
    texts = text.split(", ")
    if not all(_is_name(field, item) for item in texts):
        # Known names with other separators are the right parts; anything else is extra.
        known = {item.strip() for item in SEPARATORS.split(text)} <= set(field.labels)
        spaced = known and text == text.strip()
        raise ReadError(FailureReason.NOT_CANONICAL if spaced else FailureReason.EXTRA_TEXT, text)
    value = read_value(field, [*texts])
    check_written(texts, value)
    return Prediction({name: value})


def _read_leniently(task: Task, thoughts: Thoughts, text: str) -> Prediction:
    ((name, field),) = task.fields.items()
    lists = [_items(field, line) for line in _lines(field, thoughts.removed(text))]
    known = (items for items in lists if items and all(item in field.labels for item in items))
    names = (items for items in lists if items and all(_is_name(field, item) for item in items))
    items = next(known, None) or next(names, None)
    if items is None:
        raise ReadError(FailureReason.NO_ANSWER, text)
    return Prediction({name: read_value(field, [*items])})


def _is_name(field: Field, text: str) -> bool:
    return text in field.labels or _IDENTIFIER.fullmatch(text) is not None


def _lines(field: Field, text: str) -> Iterator[str]:
    """Yield the lines that may hold a list, each also without a prefix such as `Intents:`."""
    all_lines = text.splitlines()[:_MOST_LINES]
    for bulleted, group in groupby(all_lines, partial(_is_bullet, field)):
        lines = list(group)
        if bulleted:
            # Bullets that follow one another are one list, not several, the first of which counts.
            lines = [",".join(_BULLET.sub("", line, count=1) for line in lines)]
        for line in lines:
            if _FENCE.fullmatch(line):
                continue
            yield line
            prefix = _PREFIX.match(line)
            if prefix and prefix[1].strip(_DECORATION) not in field.labels:
                yield line[prefix.end() :]


def _is_bullet(field: Field, line: str) -> bool:
    # A task may have a value such as `1. Bug`; then this is the value, not a bullet.
    first = SEPARATORS.split(line, maxsplit=1)[0].strip()
    return first not in field.labels and _BULLET.match(line) is not None


def _items(field: Field, line: str) -> list[str]:
    """Return the items of a line, each once and without the quotes and brackets around it."""
    items = (item.strip() for item in dict.fromkeys(SEPARATORS.split(line)))
    bare = (item if item in field.labels else item.strip(_DECORATION) for item in items)
    return list(dict.fromkeys(item for item in bare if item))
