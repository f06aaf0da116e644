"""Question that a system failed -> what answers it: recipe keys, and what no recipe mends.

`remedy.*` in the language files says what each does.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from evalkit.evaluation import Metric
from evalkit.gates.failures import Failure, by_cost
from evalkit.gates.groups import Group, by_group
from evalkit.gates.judging import Outcome, Verdict

Trainer = Literal["adapter", "tfidf"]


@dataclass(frozen=True, slots=True)
class Change:
    """A key to set."""

    key: str
    """Of the recipe, dots leading into tables."""
    ladder: tuple[Any, ...]
    """Its values from the first to try to the last; `{field}` and `{family}` are filled in."""
    takes_any: bool = False
    """Whether a value that is there is as good: a file, a field, names of the user's own."""

    def after(self, now: Any) -> Any:
        """The next value to try; None where there is none."""
        first, last = self.ladder[0], self.ladder[-1]
        if isinstance(now, int | float) and not isinstance(now, bool):
            return next((v for v in self.ladder if (v < now if last < first else v > now)), None)
        is_there = bool(now) if self.takes_any else now == first
        return None if is_there else first


@dataclass(frozen=True, slots=True)
class Remedy:
    """Something that answers a question."""

    name: str
    """`remedy.NAME` says what it does."""
    changes: tuple[Change, ...] = ()
    """Of the recipe; none for what no recipe mends."""
    system: tuple[Change, ...] = ()
    """Of the system.toml above the recipe."""
    trainers: tuple[Trainer, ...] = ("adapter",)
    """Whose recipe has these keys."""
    slices: frozenset[str] = frozenset()
    """Only where one of these failed; wherever the question did, if empty."""


_BOTH: tuple[Trainer, ...] = ("adapter", "tfidf")
_FIELD = Change("labels.field", ("{field}",), takes_any=True)
_HARD = Remedy("hard", (Change("hard_share", (0.25, 0.5)),))
_BALANCE = Remedy("balance", (Change("class_weights", ("balanced",)),))
_BALANCE_TFIDF = Remedy("balance", (Change("class_weight", ("balanced",)),), trainers=("tfidf",))
_LABEL = Remedy("label", (Change("label_weight", (2.0, 4.0)),))
_ROWS = Remedy("rows", trainers=_BOTH)
_BASE = Remedy("base", trainers=_BOTH)
_BLANK_NAMES = ("Alpha", "Bravo", "Charlie", "Foxtrot", "Kilo", "Tango")

REMEDIES: Mapping[Group, tuple[Remedy, ...]] = {
    Group.ACCURACY: (_HARD, _LABEL, _ROWS, _BASE),
    Group.RECALL: (_BALANCE, _BALANCE_TFIDF, _HARD, Remedy("rows_of", trainers=_BOTH)),
    Group.URGENT: (
        Remedy("pairs", (Change("pairs", (True,)),)),
        _BALANCE,
        _BALANCE_TFIDF,
        Remedy("pair_rows", trainers=_BOTH),
    ),
    Group.FORM: (
        _LABEL,
        Remedy("constrained", system=(Change("decoding", ("constrained",)),)),
    ),
    Group.UNSEEN: (
        Remedy(
            "topics",
            (
                _FIELD,
                Change("labels.topics", ("data/{family}/topics.toml",), takes_any=True),
                Change("labels.topic_share", (0.3, 0.4, 0.5)),
                Change("labels.beside_share", (0.2, 0.3)),
            ),
        ),
        _BASE,
    ),
    Group.RENAMED: (
        Remedy(
            "names",
            (
                _FIELD,
                Change("labels.share", (0.5, 0.7)),
                Change("labels.blank_names", (_BLANK_NAMES,), takes_any=True),
            ),
        ),
    ),
    Group.FLIPS: (
        Remedy("nfkc", system=(Change("normalize", ("nfkc",)),), slices=frozenset(("full-width",))),
        Remedy(
            "order",
            (_FIELD, Change("labels.reorder", (True,))),
            slices=frozenset(("value-order",)),
        ),
        Remedy("noise", (Change("noise.share", (0.3, 0.5, 0.7)),), trainers=_BOTH),
    ),
    Group.ATTACKS: (
        Remedy("attacks", (Change("attacks.share", (0.1, 0.2, 0.4)),)),
        # Without epochs there is one draw for a row.
        Remedy("attacks", (Change("attacks.share", (0.5, 1.0)),), trainers=("tfidf",)),
        Remedy("model", trainers=("tfidf",)),
    ),
    Group.FORGETTING: (
        Remedy(
            "keep",
            (
                Change("keep.data", ("data/general/prompts.jsonl",), takes_any=True),
                Change("keep.weight", (1.0, 2.0, 4.0)),
            ),
        ),
        Remedy("gentler", (Change("learning_rate", (1e-3, 5e-4, 2e-4, 1e-4)),)),
    ),
    Group.REPEATABILITY: (Remedy("fp32"),),
    Group.BASELINE: (_HARD, _ROWS, _BASE),
    Group.CONTAMINATION: (Remedy("without", trainers=_BOTH),),
    Group.TRUNCATION: (Remedy("shorter"),),
    Group.BAD_ROWS: (Remedy("mend", trainers=_BOTH),),
    Group.OTHER: (),
}


@dataclass(frozen=True, slots=True)
class Subject:
    """What is to be mended."""

    trainer: Trainer | None
    """None for what evalkit does not train."""
    family: str
    fields: Sequence[str]
    """Of the task; those that are not a scale first."""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """As it is now, defaults filled in."""
    system: Mapping[str, Any] = field(default_factory=dict)
    """The keys of the system.toml."""
    chosen: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Field -> what training chose for it where the recipe leaves it open."""


@dataclass(frozen=True, slots=True)
class Advice:
    """A remedy for this system."""

    name: str
    recipe: Mapping[str, Any] = field(default_factory=dict)
    """Dotted key -> the value to try next."""
    system: Mapping[str, Any] = field(default_factory=dict)
    is_spent: bool = False
    """Whether it has keys, and all of them are at the last value worth trying."""


@dataclass(frozen=True, slots=True)
class Finding:
    """A failure and what answers it."""

    failure: Failure
    advice: tuple[Advice, ...]


def diagnose(verdicts: Collection[Verdict], subject: Subject) -> tuple[Finding, ...]:
    """What failed, by question, the costliest first, and what answers it."""
    failed = by_group(v for v in verdicts if v.outcome is Outcome.FAIL)
    return tuple(
        Finding(found, _advise(found.group, found.failed, subject))
        for found in by_cost(failed.items())
    )


def merged(findings: Sequence[Finding]) -> tuple[dict[str, Any], dict[str, Any]]:
    """All recipe keys to set, and all of the system.toml above; the worst finding's value holds."""
    advice = [a for finding in reversed(findings) for a in finding.advice]
    recipe = {key: value for a in advice for key, value in a.recipe.items()}
    return recipe, {key: value for a in advice for key, value in a.system.items()}


def _advise(group: Group, failed: Sequence[Verdict], subject: Subject) -> tuple[Advice, ...]:
    if subject.trainer is None:
        return (Advice("train"),)
    parts = {v.slice for v in failed}
    return tuple(
        _fill(remedy, failed, subject)
        for remedy in REMEDIES[group]
        if subject.trainer in remedy.trainers and (not remedy.slices or remedy.slices & parts)
    )


def _fill(remedy: Remedy, failed: Sequence[Verdict], subject: Subject) -> Advice:
    recipe = _next(remedy.changes, subject.recipe, failed, subject)
    system = _next(remedy.system, subject.system, failed, subject)
    has_keys = bool(remedy.changes or remedy.system)
    return Advice(remedy.name, recipe, system, has_keys and not recipe and not system)


def _next(
    changes: Sequence[Change], now: Mapping[str, Any], failed: Sequence[Verdict], subject: Subject
) -> dict[str, Any]:
    name = _field_of(failed, subject)
    filled, chosen = {"field": name, "family": subject.family}, subject.chosen.get(name, {})
    found = {}
    for change in changes:
        set_to = _look_up(now, change.key)
        value = change.after(chosen.get(change.key) if set_to is None else set_to)
        if value is not None:
            found[change.key] = value.format(**filled) if isinstance(value, str) else value
    return found


def _field_of(failed: Sequence[Verdict], subject: Subject) -> str:
    """The field whose values are at stake."""
    named = [v.slice for v in failed] + [_metric_field(v.metric) for v in failed]
    return next((name for name in named if name in subject.fields), subject.fields[0])


def _metric_field(metric: Metric | None) -> str:
    return (metric.field or "") if metric else ""


def _look_up(table: Mapping[str, Any], key: str) -> Any:
    found: Any = table
    for name in key.split("."):
        found = found.get(name) if isinstance(found, Mapping) else None
    return found
