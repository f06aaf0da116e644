"""The nouns of evalkit: frozen records that every floor shares.

This module imports nothing of evalkit's own. The vocabulary is explained in
`docs/architecture.md`; the way through the house is

    Example -> Prompt -> Completion -> ParsedAnswer -> Evaluation -> Estimate -> Verdict
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from types import MappingProxyType

Label = str | int | tuple[str, ...]
"""One field's value: a choice (str), an ordinal (int) or a multi-label set.

A multi-label set is a tuple in the order in which the task lists its values, so that equal
sets compare equal.
"""

_NOTHING: Mapping[str, str] = MappingProxyType({})
_NO_NUMBERS: Mapping[str, float] = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Example:
    """One labelled input of a task."""

    id: str
    inputs: Mapping[str, str]
    """Input name -> text, in the task's order. The text is untrusted data."""
    labels: Mapping[str, Label]
    """Field name -> the right value."""
    tags: Mapping[str, str] = field(default_factory=dict)
    """What else its row says that somebody asked for, such as its topic."""


@dataclass(frozen=True, slots=True)
class Span:
    """A piece of a prompt. Untrusted spans are data and never become special tokens."""

    text: str
    trusted: bool


@dataclass(frozen=True, slots=True)
class Function:
    """A function a model may call, for formats that answer with a call."""

    name: str
    description: str
    parameters: Mapping[str, str]
    """Parameter name -> description. Every parameter is a required string."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """What a model is asked, before any chat template."""

    instructions: str
    """The trusted text that every example of a task shares."""
    user: tuple[Span, ...]
    """The user's turn."""
    function: Function | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """A canonical answer: labels as a format writes them."""

    labels: Mapping[str, Label]
    text: str


@dataclass(frozen=True, slots=True)
class Request:
    """One prompt for an engine."""

    id: str
    prompt: Prompt
    inputs: Mapping[str, str]
    """The example's inputs, for baselines that read no prompt."""
    longest_answer: str
    """The longest canonical answer to this input; engines stop a little after its length."""
    answers: tuple[Answer, ...] = ()
    """Canonical answers to this input: all of them, or none where there are too many. They may
    change how fast an answer comes, and never what it is."""


class FinishReason(StrEnum):
    """Why an engine stopped writing."""

    STOP = "stop"
    LENGTH = "length"


@dataclass(frozen=True, slots=True)
class Completion:
    """What an engine wrote for one request."""

    text: str
    finish_reason: FinishReason
    token_ids: tuple[int, ...] = ()
    """Generated ids without the stop token; empty where the engine has no tokens."""
    counted_tokens: int = 0
    """Generated tokens as a server counts them, where their ids are not known."""
    prompt_tokens: int = 0
    seconds: float = 0.0
    """Wall-clock seconds of this row's share of its batch."""
    confidences: Mapping[str, float] = field(default_factory=lambda: _NO_NUMBERS)
    """Field name -> the probability the engine gives to the value it names; empty where it
    gives none. Of a multi-label field, that of the whole set."""
    margin: float | None = None
    """The least distance of a chosen token's logit from the next one's: where it is near 0, the
    answer could have gone another way. None where the engine has no logits."""
    saw_whole_prompt: bool = True
    """False where the prompt is longer than what the model was made to see of it."""


@dataclass(frozen=True, slots=True)
class Unanswered:
    """No answer came for a request, through no fault of the model: a server stayed down."""

    why: str


@dataclass(frozen=True, slots=True)
class Missing:
    """The answer says nothing of this field."""


@dataclass(frozen=True, slots=True)
class OutOfEnum:
    """The answer gives this field something that is not one of the task's values."""

    text: str
    """What was said instead, at most 200 characters."""


class FailureReason(StrEnum):
    """Why a text could not be read as an answer."""

    EMPTY = "empty"
    """Nothing but white space."""
    NO_ANSWER = "no_answer"
    """Text, but nothing in it that starts like an answer."""
    TRUNCATED = "truncated"
    """An answer starts and the text ends before it does."""
    MALFORMED = "malformed"
    """An answer starts and then breaks the syntax."""
    EXTRA_TEXT = "extra_text"
    """A well-formed answer with something before or after it (strict reading only)."""
    DUPLICATE_KEY = "duplicate_key"
    """A key appears twice (strict reading only)."""
    WRONG_TYPE = "wrong_type"
    """A value of the wrong type, such as "3" for 3 (strict reading only)."""
    MISSING_FIELD = "missing_field"
    """A field is not given (strict reading only)."""
    UNKNOWN_KEY = "unknown_key"
    """A key the format does not have (strict reading only)."""
    NOT_CANONICAL = "not_canonical"
    """The right parts in another order or spacing than the format allows (strict only)."""


@dataclass(frozen=True, slots=True)
class ParseFailure:
    """A text that could not be read as an answer."""

    reason: FailureReason
    detail: str = ""
    """What was seen, at most 200 characters."""


@dataclass(frozen=True, slots=True)
class Prediction:
    """A parsed answer."""

    fields: Mapping[str, Label | Missing | OutOfEnum]
    """Every field of the task, in the task's order."""
    copied: Mapping[str, str] = field(default_factory=lambda: _NOTHING)
    """Inputs that the answer repeats (call format), unescaped."""


@dataclass(frozen=True, slots=True)
class ParsedAnswer:
    """Both readings of one completion.

    Where the strict reading is a `Prediction`, the lenient one is the same `Prediction`.
    Accuracy is counted on the lenient reading; the strict one measures format violations.
    """

    strict: Prediction | ParseFailure
    lenient: Prediction | ParseFailure


@dataclass(frozen=True, slots=True)
class Estimate:
    """A measured number with its sample size and 95% interval."""

    value: float
    n: int
    low: float
    high: float
    method: str
    """How the interval was made: "wilson" or "bootstrap", followed by ", clustered" where rows
    are not independent."""
    successes: int | None = None
    """The count behind a proportion; None for composites such as macro-F1."""
    clusters: int | None = None
    """How many groups of near-duplicates the rows fall into; None where every row is alone."""

    @property
    def independent(self) -> int:
        """How many rows there are when near-duplicates of each other count as one."""
        return self.n if self.clusters is None else self.clusters


@dataclass(frozen=True, slots=True)
class Comparison:
    """One number of two systems on the same rows, held against each other."""

    first: Estimate
    second: Estimate
    difference: float
    """First minus second."""
    low: float
    """Of the difference's 95% interval."""
    high: float
    p_value: float
    """Two-sided, of no difference between the two."""
    method: str
    """The test: "McNemar mid-p" or "paired bootstrap"; "McNemar, clustered" and "paired
    bootstrap, clustered" where rows are not independent."""
    n: int
    """Rows compared."""
    only_first: int | None = None
    """Rows that are successes of the first alone; None for composites."""
    only_second: int | None = None
