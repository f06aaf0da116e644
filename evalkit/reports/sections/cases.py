"""Rows behind a gate that are none of the run's own: before and after, orders, values on offer."""

from __future__ import annotations

import re

from evalkit.evaluation import Case
from evalkit.gates import Verdict
from evalkit.reports.view import Blocks, Cell, Column, Data, Figure, Link, Page, phrase, table

SHOWN = 50
"""Of a gate, on a page."""
_WIDTH = 400
_TEXTS = ("text", "right", "before", "said", "context")


def to_rows(what: Cell, verdict: Verdict) -> Cell:
    """A cell that leads to the rows behind a gate, the surest mistakes first; itself without."""
    if verdict.cases:
        return Page(what, f"#{place_of(verdict)}")
    field = verdict.metric.field if verdict.metric else None
    sure = any(field in row.completion.confidences for row in verdict.wrong)
    sort = {"sort": f"-sure.{field}"} if sure else {}
    return Link(what, {"gate": verdict.shown, **sort}) if verdict.wrong else what


def place_of(verdict: Verdict) -> str:
    """Where the rows of `case_table` lie on a page."""
    return "cases-" + re.sub(r"[^\w-]+", "-", verdict.shown, flags=re.ASCII)


def case_table(verdict: Verdict) -> Blocks:
    """The surest mistakes, without the columns that say nothing of these."""
    cases = verdict.cases[:SHOWN]
    told = [name for name in _TEXTS if any(getattr(case, name) for case in cases)]
    sure = any(case.sure is not None for case in cases)
    heads = [Column(phrase(f"case.{name}"), is_text=True, folds=True) for name in ("row", *told)]
    heads += [Column(phrase("case.sure"))] if sure else []
    return table(
        heads, [[Data(case.id, 60), *_texts(case, told), *_sure(case, sure)] for case in cases]
    )


def _texts(case: Case, names: list[str]) -> list[Cell]:
    # What is there in other languages too is not data.
    return [
        case.context if name == "context" else Data(getattr(case, name), _WIDTH) for name in names
    ]


def _sure(case: Case, shown: bool) -> list[Cell]:
    if not shown:
        return []
    return [None if case.sure is None else Figure(case.sure)]
