"""Which label scheme a source is on, decided over all its rows.

A 3-level task may be given 5-level labels. Row by row the two cannot be told apart (a 2 is
"medium" on one scale and "low" on the other), so the whole file decides.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from evalkit.errors import UserError, did_you_mean
from evalkit.locale import Note, say
from evalkit.tasks import Field, Task

AUTO = "auto"
NONE = "none"


def choose_schemes(
    task: Task, mapping: str, count_values: Callable[[str], Counter[str | int]]
) -> tuple[dict[str, str], tuple[Note, ...]]:
    """Return the scheme of each field whose labels are to be mapped, and notes for the user.

    Args:
        task: the task, whose fields may declare schemes.
        mapping: `auto` to decide from the values; `none` to map nothing; or a scheme, which
            then holds for every field that declares it (other fields stay on `auto`).
        count_values: field name -> how often each raw value is in the source.

    Raises:
        UserError: no field has that scheme, or `auto` cannot tell two schemes apart.
    """
    _check_name(task, mapping)
    schemes: dict[str, str] = {}
    notes: list[Note] = []
    for name, field in task.fields.items():
        if mapping == NONE or not field.mappings:
            continue
        if mapping in field.mappings:
            schemes[name] = mapping
            n = len(field.labels)
            notes.append(say("note.mapped_as_asked", field=name, scheme=mapping, n=n))
            continue
        seen = count_values(name)
        outside = Counter({v: n for v, n in seen.items() if v not in field.labels})
        scheme = _best_scheme(name, field, seen, outside)
        if scheme is None:
            notes.append(_note_unmapped(name, field, outside.total()))
        else:
            schemes[name] = scheme
            notes.append(_note_mapped(name, field, scheme, outside.total(), seen.total()))
    return schemes, tuple(notes)


def _check_name(task: Task, mapping: str) -> None:
    declared = {scheme for field in task.fields.values() for scheme in field.mappings}
    known = [AUTO, NONE, *sorted(declared)]
    if mapping not in known:
        raise UserError(
            f"Task '{task.name}' has no label mapping '{mapping}'.{did_you_mean(mapping, known)}"
            f" Mappings: {', '.join(known)}."
        )


def _best_scheme(
    name: str, field: Field, seen: Counter[str | int], outside: Counter[str | int]
) -> str | None:
    """Return the scheme that explains a value outside the field's own, and most rows."""
    covered = {
        scheme: sum(count for value, count in seen.items() if str(value) in mapping)
        for scheme, mapping in field.mappings.items()
        if any(str(value) in mapping for value in outside)
    }
    if not covered:
        return None
    best = [scheme for scheme, count in covered.items() if count == max(covered.values())]
    if len(best) > 1:
        raise UserError(
            f"{name}: the labels fit the mappings {' and '.join(best)} equally well. "
            f"Choose one, as in --mapping {best[0]}."
        )
    return best[0]


def _note_mapped(name: str, field: Field, scheme: str, outside: int, total: int) -> Note:
    # A slip or two would otherwise put a whole file on another scale, unseen.
    return say(
        "note.mapped_few" if outside * 100 < total else "note.mapped",
        field=name,
        scheme=scheme,
        n=len(field.labels),
        outside=outside,
        all=total,
        span=_span(field),
    )


def _note_unmapped(name: str, field: Field, outside: int) -> Note:
    if outside:
        return say("note.no_mapping", field=name, outside=outside, span=_span(field))
    schemes = "|".join(field.mappings)
    return say("note.not_mapped", field=name, span=_span(field), schemes=schemes)


def _span(field: Field) -> str:
    """Return the field's values: `1-3` for levels without a gap, a list otherwise."""
    levels = [label for label in field.labels if isinstance(label, int)]
    if levels and levels == list(range(levels[0], levels[-1] + 1)):
        return f"{levels[0]}-{levels[-1]}"
    return ", ".join(map(str, field.labels))
