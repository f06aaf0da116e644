"""Rows that teach a model nothing, or something wrong: the rules, each with its reason."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from evalkit.data.rows import EmptyInputs, RowFault, RowReader, decode
from evalkit.data.sources import RawRow
from evalkit.errors import UserError
from evalkit.records import Example

MIN_CHARACTERS = 2
MAX_CHARACTERS = 2000


class Rule(StrEnum):
    """Why a row is removed, in the order in which the rules are asked: the first counts."""

    UNREADABLE = "unreadable"
    INPUT = "input-missing"
    EMPTY = "empty-input"
    NO_LABEL = "label-missing"
    UNKNOWN_LABEL = "label-unknown"
    EXACT = "exact-duplicate"
    CONFLICT = "label-conflict"
    SHORT = "too-short"
    LONG = "too-long"
    NO_WORDS = "no-words"
    GARBLED = "garbled"
    NEAR = "near-duplicate"
    REPEATED_ID = "repeated-id"


NO_EXAMPLE = (Rule.UNREADABLE, Rule.INPUT, Rule.EMPTY, Rule.NO_LABEL, Rule.UNKNOWN_LABEL)
"""What cannot be kept, as no command could read it."""

MEANINGS = {
    Rule.UNREADABLE: "no JSON object on the line, no valid UTF-8, or cells that fit no columns",
    Rule.INPUT: "an input of the task is not there or is not text",
    Rule.EMPTY: "every input is empty",
    Rule.NO_LABEL: "a label is not there, or is of the wrong type",
    Rule.UNKNOWN_LABEL: "a label that the task does not have",
    Rule.EXACT: "the inputs are in an earlier row, character by character",
    Rule.CONFLICT: "the same inputs with different labels, none of which most rows have",
    Rule.SHORT: "fewer than {min_characters} characters in all inputs together, white space aside",
    Rule.LONG: "more than {max_characters:,} characters in all inputs together",
    Rule.NO_WORDS: "not one letter in any input: digits, punctuation and symbols alone",
    Rule.GARBLED: "replacement or control characters, or UTF-8 that was read as Latin-1",
    Rule.NEAR: "most of its text is in an earlier row with the same labels",
    Rule.REPEATED_ID: "another row before it has the same id",
}


@dataclass(frozen=True, slots=True)
class Limits:
    """Where a text is too short or too long."""

    min_characters: int = MIN_CHARACTERS
    max_characters: int = MAX_CHARACTERS

    def check(self) -> None:
        """Raise `UserError` where no text could be long enough and short enough."""
        if not 0 <= self.min_characters <= self.max_characters:
            raise UserError(
                f"--min-chars {self.min_characters} and --max-chars {self.max_characters} leave "
                "no text that is long enough and short enough."
            )

    def meaning(self, rule: Rule) -> str:
        """Say what a rule removes under these limits."""
        return MEANINGS[rule].format(
            min_characters=self.min_characters, max_characters=self.max_characters
        )


def rule_of_fault(
    row: RawRow, reader: RowReader, fault: RowFault, schemes: Mapping[str, str]
) -> Rule:
    """Return under which rule a row is not an example of the task."""
    if row.content is None:
        return Rule.UNREADABLE
    if isinstance(fault, EmptyInputs):
        return Rule.EMPTY
    for name, field in reader.task.fields.items():
        try:
            raw = reader.raw_label(row.content, name)
        except RowFault:
            return Rule.NO_LABEL
        try:
            decode(name, field, raw, schemes.get(name))
        except RowFault:
            return Rule.UNKNOWN_LABEL
    return Rule.INPUT


def low_quality(example: Example, limits: Limits) -> tuple[Rule, str] | None:
    """Return the first rule that speaks against a text, and what it saw; or None."""
    texts = list(example.inputs.values())
    dense = sum(len("".join(text.split())) for text in texts)
    if dense < limits.min_characters:
        return Rule.SHORT, f"{dense} characters"
    length = sum(map(len, texts))
    if length > limits.max_characters:
        return Rule.LONG, f"{length:,} characters"
    if not any(unicodedata.category(c).startswith("L") for text in texts for c in text):
        return Rule.NO_WORDS, "no letter"
    for text in texts:
        if seen := garbled(text):
            return Rule.GARBLED, seen
    return None


_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]")
_CP1252 = {
    bytes([n]).decode("cp1252"): n for n in range(128, 256) if n not in b"\x81\x8d\x8f\x90\x9d"
}
_TAIL = "".join(re.escape(c) for c, n in _CP1252.items() if n < 0xC0) + "\x80-\xbf"
# Two bytes only where the first is Â or Ã, as É before a closing » is good French.
_MISREAD = re.compile(f"[ÂÃ][{_TAIL}]|[à-ï][{_TAIL}]{{2}}|[ð-ô][{_TAIL}]{{3}}")


def garbled(text: str) -> str:
    """Return what in a text speaks of a wrong decoding, or an empty string.

    >>> garbled("Ihr Paket ist fÃ¼r morgen geplant")
    'Ã¼ stands for ü'
    >>> garbled("Für «MARCHÉ» ist es ½ €")
    ''
    """
    if "�" in text:
        return "replacement character U+FFFD"
    for found in _MISREAD.finditer(text):
        data = bytes(_CP1252.get(c, ord(c)) for c in found[0])
        try:
            return f"{found[0]} stands for {data.decode()}"
        except UnicodeDecodeError:
            continue
    if control := _CONTROL.search(text):
        return f"control character U+{ord(control[0]):04X}"
    return ""
