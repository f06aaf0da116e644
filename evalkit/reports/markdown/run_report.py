"""One run as a report."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from evalkit.locale import Lang
from evalkit.reports.judged import JudgedRun
from evalkit.reports.markdown.figures import NONE, bound, count, estimate_span, figure
from evalkit.reports.markdown.gates import (
    conclusion_section,
    gate_section,
    outcome,
)
from evalkit.reports.markdown.limits import limit_section
from evalkit.reports.markdown.measured import Measured, measure
from evalkit.reports.markdown.paired import comparison_section, shown_date
from evalkit.reports.markdown.slices import error_section, slice_section
from evalkit.reports.markdown.steps import step_section
from evalkit.reports.markdown.text import (
    Markdown,
    bullets,
    code,
    document,
    heading,
    join,
    safe,
    table,
)
from evalkit.reports.markdown.words import Words


def run_markdown(run: JudgedRun, lang: Lang, *, others: Sequence[JudgedRun] = ()) -> str:
    """A run as a Markdown report: verdict, numbers, comparisons, errors, setting, next steps.

    Args:
        run: what to report on.
        lang: the report's language.
        others: runs on the same rows to hold it against, such as its base's and the one before
            it (`related.find_related`).
    """
    words = Words(lang)
    evaluation, release = run.evaluation, run.release
    measured = measure(run)
    sections = {
        "conclusion": conclusion_section(run, words),
        "results": _results(measured, run, words),
        "slices": slice_section(evaluation, measured, words),
        "gates": gate_section(release, words) if release and release.verdicts else [],
        "comparison": comparison_section(run, others, words),
        "errors": error_section(evaluation, words),
        "contamination": _contamination(run, words),
        "cost": _cost(run, words),
        "configuration": _configuration(run, words),
        "limitations": limit_section(run, words),
        "next": step_section(run, measured, words),
    }
    blocks = [heading(1, words("title.run", system=run.system)), *_facts(run, words)]
    for name, section in sections.items():
        if section:
            blocks += [heading(2, words(f"section.{name}")), *section]
    return document(blocks)


def _facts(run: JudgedRun, words: Words) -> list[Markdown]:
    record, task = run.evaluation.record, run.evaluation.task
    base = record.get("base")
    if base is None:
        system = words("fact.no_base")
    elif record.get("trained_sha256"):
        system = words("fact.base", base=base)
    else:
        system = words("fact.untrained_base", base=base)
    source = record.get("data", {}).get("source", "")
    return bullets(
        [
            words("fact.run", name=run.name),
            words("fact.date", date=shown_date(run)),
            system,
            words("fact.task", name=task.name, summary=task.summary),
            words("fact.data", rows=count(len(run.evaluation.rows)), source=source),
        ]
    )


def _results(measured: Measured, run: JudgedRun, words: Words) -> list[Markdown]:
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
            words(
                "gate_verdict",
                gate=code(verdict.label),
                bound=bound(verdict.policy, verdict.unit),
                outcome=outcome(verdict, words),
            )
            for verdict in judged.get(name, ())
        ]
        rows.append(
            [
                words.metric(metric, run.evaluation.task.fields),
                figure(found.estimate, unit),
                count(found.estimate.n),
                estimate_span(words, found.estimate, unit),
                *on_all,
                words.listed(gates, "form.clauses") if gates else NONE,
            ]
        )
    headings = ["metric", "value", "n", "interval", *(["all_rows"] if everywhere else []), "gate"]
    return table([words(f"col.{name}") for name in headings], rows, texts_last=1)


def _contamination(run: JudgedRun, words: Words) -> list[Markdown]:
    said = run.evaluation.record.get("contamination", {})
    status = said.get("status")
    if status == "untrained":
        return [words("untrained")]
    if status == "unknown":
        return [words("unknown", why=words.clause(said["why"]))]
    if status != "checked":
        return [words("not_looked_for")]
    kinds = words.listed([safe(f"{n} {kind}") for kind, n in said["seen"].items()])
    return [
        words(
            "seen",
            seen=count(len(run.evaluation.rows) - len(run.evaluation.clean_rows)),
            n=count(len(run.evaluation.rows)),
            trained=count(said["trained_rows"]),
            kinds=words("kinds", kinds=kinds) if kinds else Markdown(""),
        )
    ]


def _cost(run: JudgedRun, words: Words) -> list[Markdown]:
    record = run.evaluation.record
    cost, seconds = record.get("cost", {}), record.get("seconds", {})
    rows = [[words(f"cost.{key}"), shown_cost(cost, key)] for key in COSTS if key in cost]
    rows += [
        [words("cost.memory", where=where), _gigabytes(used, words)]
        for where, used in cost.get("peak_memory_bytes", {}).items()
    ]
    rows += [
        [words(f"cost.{key}"), Markdown(f"{seconds[key]:,.1f}")]
        for key in ("load", "answer")
        if key in seconds
    ]
    blocks = table([words("col.what"), words("col.value")], rows)
    if reused := record.get("reused_rows"):
        n = count(len(run.evaluation.rows))
        blocks.append(words("reused", reused=count(reused), n=n))
    return blocks


COSTS = (
    "rows_per_second",
    "seconds_per_row_p50",
    "seconds_per_row_p95",
    "prompt_tokens",
    "generated_tokens",
)


def shown_cost(cost: Mapping[str, Any], key: str) -> Markdown:
    """One of `COSTS`; seconds a row as milliseconds."""
    value = cost.get(key)
    if value is None:
        return NONE
    if key.startswith("seconds"):
        return Markdown(f"{1000 * value:,.1f}")
    return Markdown(f"{value:,.1f}" if isinstance(value, float) else f"{value:,}")


def _gigabytes(used: float, words: Words) -> Markdown:
    return words("gigabytes", gigabytes=Markdown(f"{used / 1e9:.1f}"))


def _configuration(run: JudgedRun, words: Words) -> list[Markdown]:
    rows = [[name, value] for name, value in settings(run, words) if value]
    return table([words("col.what"), words("col.setting")], rows, 2)


def settings(run: JudgedRun, words: Words) -> Iterator[tuple[Markdown, Markdown]]:
    """All that decides what a system answers, by name; empty where a record says nothing."""
    record, task = run.evaluation.record, run.evaluation.task
    data = record.get("data", {})
    for key in ("base", "weights_sha256"):
        yield words(f"set.{key}"), safe(record.get(key) or "")
    for name, digest in (record.get("trained_sha256") or {}).items():
        yield words("set.trained", name=name), safe(digest)
    for key in ("quantization", "format"):
        yield words(f"set.{key}"), safe(record.get(key) or "")
    yield words("set.task"), safe(task.name)
    for name, field in task.fields.items():
        values = [
            safe(f"{value} ({word})" if (word := field.display(value)) != str(value) else value)
            for value in field.labels
        ]
        yield words("set.fields", field=name), words.listed(values)
    for key in ("task_sha256", "prompt_sha256"):
        yield words(f"set.{key}"), safe(record.get(key) or "")
    yield words("set.data"), safe(data.get("sha256") or "")
    for name, scheme in (data.get("label_mappings") or {}).items():
        yield words("set.label_mappings", field=name), safe(scheme)
    for key in ("engine", "packages", "machine"):
        yield words(f"set.{key}"), pairs(record.get(key) or {}, words)
    commit = record.get("commit")
    shown = words("dirty", commit=commit) if commit and record.get("dirty") else safe(commit or "")
    yield words("set.commit"), shown
    yield words("set.predictions"), safe(record.get("predictions_sha256") or "")


def pairs(found: Mapping[str, Any], words: Words) -> Markdown:
    """Names and what they have, on one line."""
    return join(words("form.list"), [safe(f"{name} {value}") for name, value in found.items()])
