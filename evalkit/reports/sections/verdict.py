"""The verdict in words: whether a system may ship, and why not, by the questions asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction

from evalkit.gates import Failure, Group, Outcome, Reason, Release, Verdict, find_failures
from evalkit.locale import Note, phrases
from evalkit.reports.sections.cases import to_rows
from evalkit.reports.view import (
    Blocks,
    Bold,
    Cell,
    Clause,
    Data,
    Paragraph,
    Sentence,
    bound,
    bullets,
    counted,
    difference_in_words,
    listed,
    metric_name,
    phrase,
    shortened,
    verdict_value,
)
from evalkit.tasks import Field

Fields = Mapping[str, Field]
_NAMES, _REASONS = 4, 3
"""Gates that are named, and reasons that are given, where not all need be."""


def verdict_section(
    release: Release, fields: Fields, to_try: Mapping[Group, Cell] | None = None
) -> Blocks:
    """Whether a system may ship; below it one line for each reason, the costliest first.

    What answers a question, where that is known (`to_try`), stands behind the reason.
    """
    reasons = [
        (reason, (to_try or {}).get(group) if group else None)
        for reason, group in _reasons(release, fields)
    ]
    if len(reasons) < 2:
        lines: Blocks = [Paragraph(Bold(closing(release, fields)))]
        return lines + [Paragraph(what) for _, what in reasons if what is not None]
    return [
        Paragraph(Bold(phrase("closing.line", what=headline(release)))),
        *bullets(
            Sentence(reason) if what is None else listed([Sentence(reason), what], "form.beside")
            for reason, what in reasons
        ),
    ]


def closing(release: Release, fields: Fields) -> Cell:
    """The same in one sentence."""
    reasons = list(reasons_of(release, fields))
    if not reasons:
        return phrase("closing.line", what=headline(release))
    code = "closing.line_and" if release.may_ship else "closing.line_why"
    what = headline(release) if release.may_ship else _may_not_ship(release)
    return phrase(code, what=what, reasons=listed(reasons, "form.clauses"))


def headline(release: Release) -> Cell:
    """The verdict with the number of gates behind it, without its reasons."""
    system, n = Data(release.system, 100), len(release.verdicts)
    if release.partial:
        passed = len(release.of(Outcome.PASS))
        return phrase("closing.partial", system=system, passed=passed, gates=counted("gates", n))
    if release.may_ship:
        lesser = release.not_blocking
        kind = "passed" if lesser or release.left_open else "passed_all"
        passed_gates = counted(f"closing.{kind}", n - len(lesser))
        return phrase("closing.may_ship", system=system, passed=passed_gates)
    failed, undecided = (len(release.of(o)) for o in (Outcome.FAIL, Outcome.INCONCLUSIVE))
    told = [phrase("closing.failed", failed=failed, gates=counted("gates", n))] if failed else []
    told += [phrase("closing.undecided", n=undecided)] if undecided else []
    verdict = _may_not_ship(release)
    return phrase("closing.counted", what=verdict, counts=listed(told)) if told else verdict


def reasons_of(release: Release, fields: Fields) -> Iterator[Cell]:
    """What keeps a system from shipping, and what has to be known where nothing does."""
    return (reason for reason, _ in _reasons(release, fields))


def _reasons(release: Release, fields: Fields) -> Iterator[tuple[Cell, Group | None]]:
    """The reasons, and of each that is a failed question, which one.

    Faults of the evidence first, then what was not judged, what failed by what it costs, what is
    open, what has become worse than the baseline run; what does not block comes last.
    """
    yield from ((reason, None) for reason in _of_evidence(release))
    for failure in find_failures(release.verdicts):
        if failure.blocks and not release.partial:
            what = to_rows(failure_sentence(failure, fields), failure.headline)
            yield what, failure.group
    yield from ((reason, None) for reason in _of_the_rest(release))


def _of_evidence(release: Release) -> Iterator[Cell]:
    if release.partial:
        return
    if _is_empty(release):
        yield phrase("closing.nothing_judged")
        if not release.missed:
            return
    for fault in release.faults:
        yield Clause(fault)
    yield from _not_judged(release)


def _of_the_rest(release: Release) -> Iterator[Cell]:
    if release.partial or (_is_empty(release) and not release.missed):
        return
    yield from _undecided([v for v in release.of(Outcome.INCONCLUSIVE) if v.blocks])
    if release.regressions:
        yield phrase(
            "closing.regressions",
            n=len(release.regressions),
            gates=shortened(
                [
                    phrase(
                        "closing.gate_value",
                        gate=Data(release.called(r.label), 100),
                        value=difference_in_words(r.paired),
                    )
                    for r in release.regressions
                ],
                _NAMES,
            ),
        )
    if lesser := release.not_blocking:
        yield phrase(
            "closing.not_blocking",
            n=len(lesser),
            gates=listed(
                phrase(
                    "closing.gate_tier",
                    gate=_brief(v),
                    outcome=phrase(f"outcome.{v.outcome.value}"),
                    tier=v.policy.tier,
                )
                for v in lesser
            ),
        )
    if release.left_open:
        yield phrase("closing.left_open", names=_names(release, release.left_open))
    if release.may_ship:
        yield from map(Clause, release.caveats)


def failure_sentence(failure: Failure, fields: Fields) -> Cell:
    """What failed gates of one question say together."""
    worst = failure.headline
    metric = worst.metric
    field = fields.get(metric.field) if metric and metric.field else None
    names = [field.display(label) for label in field.labels] if field else ["", ""]
    half = max(len(names) // 2, 1)
    what: Cell = phrase(
        _code(failure, worst),
        gate=Data(worst.shown, 100),
        asks=Clause(worst.asks),
        field=(metric and metric.field) or "",
        metric=metric_name(metric, fields) if metric else Data(worst.shown, 100),
        part=worst.part or worst.slice,
        value=verdict_value(worst),
        bound=bound(worst),
        often=_often(1 - worst.estimate.value),
        other=worst.paired.second if worst.paired else "",
        low=listed(names[:half]),
        high=listed(names[-half:]),
    )
    parts = [v for v in failure.failed if v.metric and v.metric.key == "recall" and v is not worst]
    if parts:
        value = verdict_value(parts[0])
        least = phrase("finding.least", part=parts[0].part or parts[0].slice, value=value)
        what = listed([what, least], "form.clauses")
    return what if worst.blocks else phrase("finding.tier", what=what, tier=worst.policy.tier)


def _is_empty(release: Release) -> bool:
    return not release.verdicts and not release.faults


def _code(failure: Failure, worst: Verdict) -> str:
    """The sentence that is there: of the gate, of the group with the metric, of the group."""
    key = worst.metric.key if worst.metric else ""
    group = failure.group.value
    names = [worst.gate, f"{group}_{key}", *([] if group == Group.ACCURACY else [group])]
    if worst.reason is Reason.LOST:
        names.insert(0, "lost")
    codes = (f"finding.{name}" for name in names)
    return next((code for code in codes if code in phrases("en")), "finding.other")


def _often(share: float) -> Cell:
    """A share as a number of times."""
    if share > 0.95:
        return phrase("form.nearly_always")
    if share < 0.2:
        return phrase("form.once_in", of=round(1 / max(share, 1e-6)))
    found = Fraction(share).limit_denominator(5)
    if found == 1:
        found = Fraction(9, 10)
    n, of = found.numerator, found.denominator
    return phrase("form.once_in", of=of) if n == 1 else phrase("form.times_in", n=n, of=of)


def _not_judged(release: Release) -> Iterator[Cell]:
    """What was not judged, that of one reason together."""
    by_reason: dict[str, list[str]] = {}
    for name in release.not_judged:
        by_reason.setdefault(release.missed.get(name, ""), []).append(name)
    for why, names in by_reason.items():
        told = _names(release, names)
        if why:
            yield phrase("closing.not_judged_as", names=told, why=Clause(why))
        else:
            yield phrase("closing.not_judged", names=told)


def _undecided(verdicts: Sequence[Verdict]) -> Iterator[Cell]:
    """What is inconclusive, with the reason where it is one for many."""
    notes = dict.fromkeys(v.note for v in verdicts)
    if len(notes) > _REASONS:
        gates = shortened([*map(_brief, verdicts)], _NAMES)
        yield phrase("closing.open", n=len(verdicts), gates=gates)
        return
    for note in notes:
        found = [v for v in verdicts if v.note == note]
        gates = shortened([*map(_brief, found)], _NAMES)
        yield phrase("closing.open_as", n=len(found), gates=gates, why=Clause(note))


def _may_not_ship(release: Release) -> Cell:
    return phrase("closing.may_not_ship", system=Data(release.system, 100))


def _names(release: Release, labels: Sequence[str]) -> Cell:
    return listed(
        label if isinstance(label, Note) else Data(release.called(label), 100) for label in labels
    )


def _brief(verdict: Verdict) -> Cell:
    value = verdict_value(verdict)
    return phrase("closing.gate_value", gate=Data(verdict.shown, 100), value=value)
