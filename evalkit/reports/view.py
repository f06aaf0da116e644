"""What a reader is shown, before it is text of any kind: blocks of typed cells.

A cell is a `Phrase` of ours, a number or another class of this module, a count (`int`), None for
what there is not, or anybody's text (`str`; a `Note` among them speaks every language). `render/`
makes them text of one kind, in the language that is asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from evalkit.evaluation import Metric, PairedComparison
from evalkit.gates import ALPHA, Outcome, Policy, Verdict
from evalkit.locale import Note
from evalkit.metrics import ReliabilityBin
from evalkit.records import Estimate
from evalkit.tasks import Field

_Item = TypeVar("_Item")
Tone = Literal["", "good", "bad", "open", "quiet"]
Cell = Any
"""A class of this module, `str`, `int` or None."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """A sentence or a word of ours, by its code in the language files."""

    code: str
    params: Mapping[str, Cell]


@dataclass(frozen=True, slots=True)
class Data:
    """Anybody's text, cut after some characters."""

    text: object
    width: int


@dataclass(frozen=True, slots=True)
class Code:
    """A name that a reader may type."""

    name: str


@dataclass(frozen=True, slots=True)
class Bold:
    """What matters most."""

    what: Cell


@dataclass(frozen=True, slots=True)
class Row:
    """Cells in a row, with what a language puts between them; `join` has nothing there."""

    parts: tuple[Cell, ...]
    join: str = "form.list"


@dataclass(frozen=True, slots=True)
class Clause:
    """A sentence as part of another: without its full stop."""

    text: str


@dataclass(frozen=True, slots=True)
class Sentence:
    """A clause as a line of its own: it begins with a capital and ends with a full stop."""

    what: Cell


@dataclass(frozen=True, slots=True)
class Figure:
    """A number: in percent, or with two decimals; a difference has its sign."""

    value: float
    unit: str = "%"
    is_difference: bool = False


@dataclass(frozen=True, slots=True)
class Plain:
    """A number as its format says."""

    value: float
    format: str = ",.1f"


@dataclass(frozen=True, slots=True)
class Span:
    """An interval, without a unit."""

    low: float
    high: float
    unit: str = "%"
    is_difference: bool = False
    value: float | None = None
    """What it is of, so that it can be drawn."""
    scale: float = 0.0
    """What the ends of a drawing of a difference stand for; 0 where there is none."""


@dataclass(frozen=True, slots=True)
class WithSpan:
    """A value and its 95% interval."""

    estimate: Estimate
    unit: str


@dataclass(frozen=True, slots=True)
class Bound:
    """What a gate needs."""

    policy: Policy
    unit: str


@dataclass(frozen=True, slots=True)
class PValue:
    """A p-value; within a sentence it says what it is."""

    p: float
    in_words: bool = False


@dataclass(frozen=True, slots=True)
class Badge:
    """Pass, fail or inconclusive, marked where the interval of a decided gate crosses its bound."""

    outcome: Outcome
    crosses: bool


@dataclass(frozen=True, slots=True)
class GateName:
    """A gate; under the name of its criterion a page calls it by its part alone."""

    verdict: Verdict
    is_part: bool = False


@dataclass(frozen=True, slots=True)
class GateSpan:
    """The interval of what a gate judged; drawn where a report draws."""

    verdict: Verdict
    beside: tuple[Verdict, ...]
    """All that are drawn on one scale."""


@dataclass(frozen=True, slots=True)
class Lines:
    """What is said on lines of its own."""

    parts: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """A cell that leads to the rows it is of, where the report has a table of them."""

    what: Cell
    rows: Mapping[str, str]
    """Column of that table -> what it has to say; a `Note` in the report's language."""


@dataclass(frozen=True, slots=True)
class Page:
    """A cell that leads to another page, where the report has links."""

    what: Cell
    address: str


@dataclass(frozen=True, slots=True)
class Count:
    """Rows of a matrix that were taken for something."""

    n: int
    of: int
    """The rows of the matrix's row."""
    is_right: bool
    rows: Mapping[str, str]
    """As of `Link`; empty where they cannot be chosen."""


@dataclass(frozen=True, slots=True)
class Toned:
    """A cell that is good, bad, open or of little weight; the words say so, too."""

    what: Cell
    tone: Tone


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table."""

    head: Cell
    is_text: bool = False
    drop: int = 0
    """Where not all columns fit, those with the highest number go first; 0 always stays."""
    folds: bool = False
    """Whether its texts may take several lines; names and numbers never do."""
    is_wide: bool = False
    """Of more than a text has room for: only pages show it."""


@dataclass(frozen=True, slots=True)
class Group:
    """The gates of one criterion, rows of a table in a row: what holds for all of them."""

    name: str
    asks: str
    """What most of them ask."""
    why: tuple[str, ...]
    n: int


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells under their columns."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    is_wide: bool = False
    """Of too many columns for a text: only pages show it."""
    groups: tuple[Group, ...] = ()
    """Of its rows, in their order."""

    def without_wide(self) -> Table:
        """The columns that a text has room for."""
        kept = [at for at, column in enumerate(self.columns) if not column.is_wide]
        rows = tuple(tuple(row[at] for at in kept) for row in self.rows)
        return Table(tuple(self.columns[at] for at in kept), rows, self.is_wide)


@dataclass(frozen=True, slots=True)
class Points:
    """A list."""

    items: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A line of text."""

    text: Cell


@dataclass(frozen=True, slots=True)
class Heading:
    """A title; of the whole at level 1, of a section at 2."""

    level: int
    text: Cell


@dataclass(frozen=True, slots=True)
class Picture:
    """A file beside a report."""

    title: str
    file: str


@dataclass(frozen=True, slots=True)
class Reliability:
    """A curve of confidence against accuracy; drawn where a report draws."""

    name: str
    bins: tuple[ReliabilityBin, ...]


@dataclass(frozen=True, slots=True)
class Scatter:
    """Seconds a row against a share, by letter; drawn where a report draws."""

    name: Cell
    """Of the share."""
    dots: tuple[tuple[str, float, Estimate], ...]


Block = Table | Points | Paragraph | Heading | Picture | Reliability | Scatter
Blocks = list[Block]


def phrase(code: str, **params: Cell) -> Phrase:
    """A sentence of ours."""
    return Phrase(code, params)


def counted(code: str, n: int) -> Phrase:
    """A number of things: `code.one` or `code.many`."""
    return phrase(f"{code}.one" if n == 1 else f"{code}.many", n=n)


def listed(parts: Iterable[Cell], join: str = "form.list") -> Row:
    """Cells in a row."""
    return Row(tuple(parts), join)


def shortened(cells: Sequence[Cell], most: int) -> Cell:
    """Cells in a row; of many, the first and how many more there are."""
    shown = listed(cells[:most])
    if len(cells) <= most:
        return shown
    return phrase("form.and_more", names=shown, n=len(cells) - most)


def table(
    heads: Sequence[Cell], rows: Sequence[Sequence[Cell]], texts: int = 1, last: int = 0
) -> Blocks:
    """A table as one block; none without rows.

    Args:
        heads: of the columns; a `Column` stands for itself.
        rows: of cells, as many as columns.
        texts: how many of the first columns are text; the others are numbers.
        last: how many of the last columns are text.
    """
    if not rows:
        return []
    numbers = range(texts, len(heads) - last)
    columns = (
        head if isinstance(head, Column) else Column(head, place not in numbers)
        for place, head in enumerate(heads)
    )
    assert all(len(row) == len(heads) for row in rows)
    return [Table(tuple(columns), tuple(map(tuple, rows)))]


def table_of(items: Iterable[_Item], *columns: tuple[Cell, Callable[[_Item], Cell]]) -> Blocks:
    """A table with a row for each item; none without items.

    Args:
        items: what the rows are of.
        columns: for each its heading (a `Column`; any other cell heads numbers), and what it has
            to say of an item.
    """
    heads = [head if isinstance(head, Column) else Column(head) for head, _ in columns]
    return table(heads, [[of(item) for _, of in columns] for item in items])


def col(
    key: str,
    *,
    is_text: bool = False,
    drop: int = 0,
    folds: bool = False,
    is_wide: bool = False,
) -> Column:
    """A column under one of our headings, by the end of its code."""
    return Column(phrase(f"col.{key}"), is_text, drop, folds, is_wide)


def grid(
    title: Cell, heads: Sequence[str], rows: Sequence[Sequence[Cell]], *, is_text: bool = False
) -> Blocks:
    """A table under a title; its first column is text, and the others too where `is_text`.

    Texts may take several lines.
    """
    columns = (Column(h, is_text or not place, folds=True) for place, h in enumerate(heads))
    return [Heading(2, title), Table(tuple(columns), tuple(map(tuple, rows)))]


def sectioned(title: Cell, head: Blocks, sections: Iterable[tuple[Cell, Blocks]]) -> Blocks:
    """A whole report: a title, what is under it, and sections with their titles."""
    blocks: Blocks = [Heading(1, title), *head]
    for name, section in sections:
        blocks += [Heading(2, name), *section]
    return blocks


def columns(*keys: str) -> list[Phrase]:
    """Headings by the ends of their codes."""
    return [phrase(f"col.{key}") for key in keys]


def bullets(items: Iterable[Cell]) -> Blocks:
    """A list as one block; none without items."""
    found = tuple(items)
    return [Points(found)] if found else []


def figure(estimate: Estimate | None, unit: str = "%") -> Figure | None:
    """The measured value."""
    return None if estimate is None else Figure(estimate.value, unit)


def with_span(estimate: Estimate | None, unit: str = "%") -> WithSpan | None:
    """A value with its interval."""
    return None if estimate is None else WithSpan(estimate, unit)


def span_of(estimate: Estimate, unit: str = "%") -> Cell:
    """The 95% interval of a measured value; a count has none."""
    if estimate.method == "count":
        return phrase("form.counted")
    return Span(estimate.low, estimate.high, unit, value=estimate.value)


def difference_of(paired: PairedComparison) -> Figure:
    """First less second."""
    return Figure(paired.comparison.difference, paired.metric.unit, is_difference=True)


def difference_in_words(paired: PairedComparison) -> Cell:
    """The same within a sentence: with its unit."""
    shown = difference_of(paired)
    return phrase("form.points", value=shown) if shown.unit == "%" else shown


def paired_span(paired: PairedComparison, scale: float = 0.0) -> Span:
    """The interval of a comparison's difference, with a scale to draw it on."""
    found, unit = paired.comparison, paired.metric.unit
    return Span(found.low, found.high, unit, True, found.difference, scale)


def short_verdict(may_ship: bool | None) -> Toned:
    """Whether a system may ship, in a word or two; None: there is no verdict."""
    code, tone = _SHORT[may_ship]
    return Toned(phrase(f"short.{code}"), tone)


_SHORT: dict[bool | None, tuple[str, Tone]] = {
    True: ("may_ship", "good"),
    False: ("may_not_ship", "bad"),
    None: ("no_verdict", "open"),
}


def tested(paired: PairedComparison, p: float) -> dict[str, Cell]:
    """What a sentence says of a paired test: the difference, its interval, the p-value."""
    return {
        "difference": difference_in_words(paired),
        "span": paired_span(paired),
        "p": PValue(p, in_words=True),
    }


def is_shown(paired: PairedComparison) -> bool:
    """Whether the test shows a difference, taken alone."""
    return paired.comparison.p_value < ALPHA


def verdict_value(verdict: Verdict) -> Figure:
    """What a gate judged: a number, or the advantage over another system."""
    return Figure(verdict.estimate.value, verdict.unit, verdict.paired is not None)


def opponent(verdict: Verdict) -> list[Cell]:
    """The system that a gate holds this one against; its own answers to other rows are none."""
    paired = verdict.paired
    if paired is None or isinstance(paired.second, Note):
        return []
    return [phrase("gate.against", other=Data(paired.second, 60))]


def verdict_span(verdict: Verdict) -> Cell:
    """The interval of what a gate judged."""
    estimate = verdict.estimate
    if verdict.paired is not None:
        return Span(estimate.low, estimate.high, verdict.unit, is_difference=True)
    return span_of(estimate, verdict.unit)


def in_column(verdict: Verdict | None) -> Cell:
    """What a gate said, in the column of a system; None where the system has no such gate."""
    return None if verdict is None else listed([verdict_value(verdict), " ", badge(verdict)], "")


def bound(verdict: Verdict) -> Bound:
    """What a gate needs."""
    return Bound(verdict.policy, verdict.unit)


def badge(verdict: Verdict) -> Badge:
    """What a gate says."""
    decided = verdict.outcome is not Outcome.INCONCLUSIVE
    return Badge(verdict.outcome, verdict.crosses and decided)


def tilde(verdicts: Iterable[Verdict]) -> Blocks:
    """What `~` means, where a badge has it."""
    is_marked = any(badge(verdict).crosses for verdict in verdicts)
    return [Paragraph(phrase("tilde_alone", mark="~"))] if is_marked else []


@dataclass(frozen=True, slots=True)
class MetricName:
    """A metric: its field, and what is measured."""

    metric: Metric
    value: str = ""
    """The field's value that it is of, as people call it."""


def metric_name(metric: Metric, fields: Mapping[str, Field]) -> MetricName:
    """A metric as people call it."""
    if metric.field is None or metric.value is None or metric.field not in fields:
        return MetricName(metric)
    return MetricName(metric, fields[metric.field].display(metric.value))


def shown_cost(cost: Mapping[str, Any], key: str) -> Cell:
    """A figure of what a run cost; seconds a row as milliseconds."""
    value = cost.get(key)
    if value is None:
        return None
    if key.startswith("seconds"):
        return Plain(1000 * value)
    return Plain(value) if isinstance(value, float) else value


def gigabytes(used: float) -> Cell:
    """Memory, given in bytes."""
    return phrase("gigabytes", gigabytes=Plain(used / 1e9))
