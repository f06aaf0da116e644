"""One run as a report."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.locale import Lang
from evalkit.registry import Registry
from evalkit.reports.diagnosis import help_section
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.markdown import to_markdown
from evalkit.reports.sections.gates import conclusion_section, gate_section
from evalkit.reports.sections.limits import limit_section
from evalkit.reports.sections.measured import Measured, measure
from evalkit.reports.sections.paired import comparison_section
from evalkit.reports.sections.slices import (
    calibration_section,
    error_section,
    shown_value,
    slice_section,
)
from evalkit.reports.view import (
    Blocks,
    Cell,
    Clause,
    Code,
    Column,
    Paragraph,
    Plain,
    badge,
    bound,
    bullets,
    columns,
    figure,
    gigabytes,
    listed,
    metric_name,
    phrase,
    sectioned,
    shown_cost,
    span_of,
    table,
)


def run_markdown(run: JudgedRun, lang: Lang, *, others: Sequence[JudgedRun] = ()) -> str:
    """A run as a Markdown report, held against others on the same rows (`related.find_related`)."""
    title = phrase("title.run", system=run.system)
    sections = [(section_title(name), found) for name, found in run_sections(run, others).items()]
    return to_markdown(sectioned(title, facts(run), sections), lang)


def run_sections(run: JudgedRun, others: Sequence[JudgedRun] = ()) -> dict[str, Blocks]:
    """All that is said of a run, by section; those that have nothing to say are left out."""
    it = Reported(run, run.evaluation, measure(run), others)
    found = {name: _section(name, it) for name in SECTIONS}
    return {name: section for name, section in found.items() if section}


def _section(name: str, it: Reported) -> Blocks:
    try:
        return SECTIONS.find(name)(it)
    except Exception as error:
        if name in SECTIONS.own:
            raise
        raise UserError(
            f"The report section '{name}' of another package broke: {type(error).__name__}: {error}"
        ) from error


def section_title(name: str) -> Cell:
    """A section's heading: of another package's, its name."""
    own = name in SECTIONS.own
    return phrase(f"section.{name}") if own else name.replace("-", " ").capitalize()


@dataclass(frozen=True, slots=True)
class Reported:
    """What a section is made of."""

    run: JudgedRun
    evaluation: Evaluation
    measured: Measured
    others: Sequence[JudgedRun] = ()
    """Runs on the same rows to hold it against."""

    @property
    def rows(self) -> Sequence[EvaluatedRow]:
        """The run's rows."""
        return self.evaluation.rows


Section = Callable[[Reported], Blocks]


def _read(name: str, loaded: Any) -> Section | None:
    return loaded if callable(loaded) else None


def facts(run: JudgedRun) -> Blocks:
    """What was run, at the head."""
    record, task = run.evaluation.record, run.evaluation.task
    base = record.base
    if base is None:
        system = phrase("fact.no_base")
    elif record.trained_sha256:
        system = phrase("fact.base", base=base)
    else:
        system = phrase("fact.untrained_base", base=base)
    source = record.data.source
    return bullets(
        [
            phrase("fact.run", name=run.name),
            phrase("fact.date", date=run.date),
            system,
            phrase("fact.task", name=task.name, summary=task.summary),
            phrase("fact.data", rows=len(run.evaluation.rows), source=source),
        ]
    )


def _results(measured: Measured, run: JudgedRun) -> Blocks:
    """The usual numbers, each with the gates that judged it."""
    everywhere = any(found.on_all_rows is not None for found in measured.overview.values())
    judged = measured.by_metric()
    rows = []
    for name, found in measured.overview.items():
        metric = found.metric
        assert metric is not None
        unit = metric.unit
        on_all = [figure(found.on_all_rows, unit)] if everywhere else []
        gates = [
            phrase(
                "gate_verdict",
                gate=Code(verdict.shown),
                bound=bound(verdict),
                outcome=badge(verdict),
            )
            for verdict in judged.get(name, ())
        ]
        rows.append(
            [
                metric_name(metric, run.evaluation.task.fields),
                figure(found.estimate, unit),
                found.estimate.n,
                span_of(found.estimate, unit),
                *on_all,
                listed(gates, "form.clauses") if gates else None,
            ]
        )
    headings = ["metric", "value", "n", "interval", *(["all_rows"] if everywhere else []), "gate"]
    *heads, gate = columns(*headings)
    return table([*heads, Column(gate, is_text=True, drop=1)], rows)


def contamination(evaluation: Evaluation) -> Cell:
    """What is known of training rows among the test rows."""
    said = evaluation.record.contamination
    if said.status == "untrained":
        return phrase("untrained")
    if said.status == "unknown":
        return phrase("unknown", why=Clause(said.why))
    if said.status != "checked":
        return phrase("not_looked_for")
    kinds = [f"{n} {kind}" for kind, n in said.seen.items()]
    return phrase(
        "seen",
        seen=len(evaluation.rows) - len(evaluation.clean_rows),
        n=len(evaluation.rows),
        trained=said.trained_rows or 0,
        kinds=phrase("kinds", kinds=listed(kinds)) if kinds else "",
        twins=_twins(said.twins) if kinds else "",
    )


def _twins(twins: Mapping[str, str]) -> Cell:
    """Some of the training rows that rows repeat, or how they are found."""
    if not twins:
        return phrase("twins_how")
    some = [f"{row} = {twin}" for row, twin in islice(twins.items(), TWINS_SHOWN)]
    return phrase("twins", n=len(twins), twins=listed(some))


def _cost(run: JudgedRun) -> Blocks:
    record = run.evaluation.record
    cost, seconds = record.cost.to_json(), record.seconds.to_json()
    rows = [[phrase(f"cost.{key}"), shown_cost(cost, key)] for key in COSTS if key in cost]
    rows += [
        [phrase("cost.memory", where=where), gigabytes(used)]
        for where, used in cost.get("peak_memory_bytes", {}).items()
    ]
    rows += [
        [phrase(f"cost.{key}"), Plain(seconds[key])] for key in ("load", "answer") if key in seconds
    ]
    blocks = table([phrase("col.what"), phrase("col.value")], rows)
    if reused := record.reused_rows:
        n = len(run.evaluation.rows)
        blocks.append(Paragraph(phrase("reused", reused=reused, n=n)))
    return blocks


TWINS_SHOWN = 3
COSTS = (
    "rows_per_second",
    "seconds_per_row_p50",
    "seconds_per_row_p95",
    "prompt_tokens",
    "generated_tokens",
)


def _configuration(run: JudgedRun) -> Blocks:
    rows = [[name, value] for name, value in settings(run) if value]
    return table([phrase("col.what"), phrase("col.setting")], rows, 2)


def settings(run: JudgedRun) -> Iterator[tuple[Cell, Cell]]:
    """All that decides what a system answers, by name; empty where a record says nothing."""
    record, task = run.evaluation.record, run.evaluation.task
    said = record.identity()
    for key in ("base", "weights_sha256"):
        yield phrase(f"set.{key}"), said[key] or ""
    for name, digest in record.trained_sha256.items():
        yield phrase("set.trained", name=name), digest
    for key in ("quantization", "format"):
        yield phrase(f"set.{key}"), said[key] or ""
    yield phrase("set.task"), task.name
    for name, field in task.fields.items():
        values = [shown_value(field, value) for value in field.labels]
        yield phrase("set.fields", field=name), listed(values)
    for key in ("task_sha256", "prompt_sha256"):
        yield phrase(f"set.{key}"), said[key] or ""
    yield phrase("set.data"), record.data.sha256
    for name, scheme in record.data.label_mappings.items():
        yield phrase("set.label_mappings", field=name), scheme
    for key in ("engine", "packages", "machine"):
        yield phrase(f"set.{key}"), pairs(said[key])
    commit = record.commit
    shown = phrase("dirty", commit=commit) if commit and record.dirty else commit or ""
    yield phrase("set.commit"), shown
    yield phrase("set.predictions"), record.predictions_sha256 or ""


def pairs(found: Mapping[str, Any]) -> Cell:
    """Names and what they have, on one line."""
    return listed([f"{name} {value}" for name, value in found.items()]) if found else ""


SECTIONS = Registry[Section](
    "report_sections",
    {
        "conclusion": lambda it: conclusion_section(it.run),
        "results": lambda it: _results(it.measured, it.run),
        "slices": lambda it: slice_section(it.evaluation, it.measured),
        "calibration": lambda it: calibration_section(it.evaluation),
        "gates": lambda it: gate_section(it.run.release) if it.run.release else [],
        "comparison": lambda it: comparison_section(it.run, it.others),
        "errors": lambda it: error_section(it.evaluation, it.measured.verdicts),
        "contamination": lambda it: [Paragraph(contamination(it.evaluation))],
        "cost": lambda it: _cost(it.run),
        "configuration": lambda it: _configuration(it.run),
        "limitations": lambda it: limit_section(it.run),
        "help": lambda it: help_section(it.run),
    },
    _read,
)
"""In their order. A package adds a function: `Reported` -> blocks, none to be left out."""
