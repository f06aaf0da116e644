"""A system's model card: the `README.md` that the Hugging Face Hub shows.

There is one card. Training writes it without figures; `evalkit card` adds what the gates said.
Whatever comes from data, from a task or from a system.toml is escaped, so that it stays text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from evalkit.gates import Outcome, Release, Verdict
from evalkit.records import Estimate
from evalkit.reports.card.metadata import describe_subject
from evalkit.reports.card.subject import Measured, Subject, shown_source
from evalkit.reports.judged import JudgedRun
from evalkit.reports.numbers import interval, needed, number, value, value_interval
from evalkit.reports.printable import printable
from evalkit.reports.render.markdown import escaped
from evalkit.reports.terminal import closing_line, contamination_line

if TYPE_CHECKING:
    from huggingface_hub import ModelCardData


def training_card(provenance: Mapping[str, Any], plotted: bool) -> str:
    """The card of an adapter that was just trained, made of its provenance: no gate has spoken.

    Args:
        provenance: what `provenance.json` says.
        plotted: whether `loss.png` lies beside it.
    """
    said = provenance
    subject = Subject(said["system"], said["task"], said["format"], said["base"])
    metadata = describe_subject(subject, provenance)
    return render_card(subject, metadata, provenance, plotted=plotted)


def render_card(
    subject: Subject,
    metadata: ModelCardData,
    provenance: Mapping[str, Any] | None,
    *,
    plotted: bool,
    judged: JudgedRun | None = None,
    measured: Measured | None = None,
    repo: str = "",
) -> str:
    """Write a card: front matter and text.

    Args:
        subject: what it is of.
        metadata: the front matter.
        provenance: what `provenance.json` says; None where there is none.
        plotted: whether `loss.png` lies beside it.
        judged: the run with its verdicts, where there is one.
        measured: the usual numbers of that run, as `verdicts.json` has them.
        repo: where the adapter lies on the Hub, if it does.
    """
    lines = ["---", metadata.to_yaml(), "---", "", f"# {_plain(subject.name)}", ""]
    lines += [*_introduction(subject, provenance), ""]
    if judged is not None and judged.release is not None:
        lines += _verdict(judged, judged.release)
        lines += _figures(judged, judged.release, measured or {})
        lines += _use(subject, judged, judged.release)
    else:
        lines += ["No gate has judged it yet: `pytest suites/ --model`, then `evalkit card`.", ""]
    if provenance is not None:
        lines += [*_held_out(provenance), *_making(provenance, plotted)]
    lines += _loading(subject, repo)
    return "\n".join(lines)


def _plain(text: object, width: int = 200) -> str:
    """Untrusted text as Markdown that reads as this text and nothing else."""
    return escaped(text, width)


def _table(columns: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A Markdown table of cells that are escaped already, and an empty line."""
    head = list(columns)
    for cells in (head, ["---"] * len(head), *rows):
        yield f"| {' | '.join(cells)} |"
    yield ""


def _introduction(subject: Subject, provenance: Mapping[str, Any] | None) -> Iterator[str]:
    lora = ((provenance or {}).get("recipe") or {}).get("lora")
    what = "A baseline"
    if subject.base:
        what = (
            f"A LoRA adapter (r={lora['r']:g}, alpha={lora['alpha']:g})" if lora else "An adapter"
        )
    on = f", on {_plain(subject.base)}" if subject.base else ""
    if subject.summary:
        yield f"{_plain(subject.summary)}."
        yield ""
    yield (
        f"{what} for the task {_plain(subject.task)}, answers in the {_plain(subject.format)} "
        f"format{on}."
    )


def _verdict(judged: JudgedRun, release: Release) -> Iterator[str]:
    record = judged.evaluation.record
    data = record.data
    yield from ("## Verdict", "")
    said = release.verdict
    yield _plain(closing_line(release).plain, 1000).replace(said, f"**{said}**", 1)
    yield ""
    yield (
        f"Judged on {data.rows:,} rows of {_plain(shown_source(data.source))} (SHA-256 "
        f"{_plain(data.sha256[:16])}…) on {judged.started:%Y-%m-%d}, run {_plain(judged.name)}."
    )
    yield ""
    yield f"- {_plain(contamination_line(judged.evaluation), 400)}"
    yield from (f"- note: {_plain(note)}" for note in record.all_notes)
    yield ""


def _figures(judged: JudgedRun, release: Release, measured: Measured) -> Iterator[str]:
    """The usual numbers and the gates; a second figure where rows were trained on."""
    everywhere = any(found["on_all_rows"] for found in measured.values()) or any(
        verdict.on_all_rows for verdict in release.verdicts
    )
    both = ["on all rows"] if everywhere else []
    yield from ("## Figures", "")
    intro = "Intervals are 95%."
    if everywhere:
        intro += " Values are of rows that it was not trained on; beside them stands what all "
        intro += "rows give."
    yield from (intro, "")
    yield from _table(
        ("gate", "value", "n", "95%", *both, "needs", "verdict"),
        (_gate_row(verdict, everywhere) for verdict in release.verdicts),
    )
    units = {metric.name: metric.unit for metric in judged.evaluation.usual_metrics()}
    yield from _table(
        ("measured, gated or not", "value", "n", "95%", *both),
        (_measured_row(name, found, units[name], everywhere) for name, found in measured.items()),
    )


def _gate_row(verdict: Verdict, everywhere: bool) -> list[str]:
    whole = verdict.on_all_rows
    outcome = verdict.outcome.value
    if verdict.outcome is not Outcome.INCONCLUSIVE and verdict.crosses:
        outcome += f" ({_plain(verdict.note)})"
    return [
        _plain(verdict.label),
        value(verdict),
        f"{verdict.estimate.n:,}",
        value_interval(verdict),
        *([number(whole.value, verdict.unit) if whole else ""] if everywhere else []),
        escaped(needed(verdict.policy, verdict.unit)),
        outcome,
    ]


def _measured_row(name: str, found: Mapping[str, Any], unit: str, everywhere: bool) -> list[str]:
    whole = found["on_all_rows"]
    estimate = Estimate(
        **{key: found[key] for key in Estimate.__dataclass_fields__ if key in found}
    )
    return [
        _plain(name),
        number(estimate.value, unit),
        f"{estimate.n:,}",
        interval(estimate, unit),
        *([number(whole["value"], unit) if whole else ""] if everywhere else []),
    ]


def _use(subject: Subject, judged: JudgedRun, release: Release) -> Iterator[str]:
    """What it is for, and what the gates found wanting."""
    yield from ("## Intended use and limits", "")
    yield (
        f"It reads {', '.join(_plain(name) for name in subject.inputs)} and answers one question: "
        "the task's. It is made for nothing else."
    )
    yield ""
    for field, values in (subject.values or {}).items():
        yield f"- {_plain(field)}: {_plain(', '.join(values), 1000)}"
    yield ""
    wanting: dict[tuple[str, Outcome], list[Verdict]] = {}
    for verdict in release.verdicts:
        if verdict.outcome is not Outcome.PASS:
            wanting.setdefault((verdict.gate, verdict.outcome), []).append(verdict)
    limits = [_limit(verdicts) for verdicts in wanting.values()]
    limits += [f"- fault of the evidence: {_plain(fault, 400)}" for fault in release.faults]
    limits += [f"- not judged: {_plain(name)}" for name in release.not_judged]
    limits += [
        f"- worse than the earlier run it was held against: {_plain(r.label)}"
        for r in release.regressions
    ]
    if limits:
        yield from ("What was found wanting, or not shown:", "", *limits, "")
    elif release.verdicts:
        yield from (f"All {len(release.verdicts)} gates passed.", "")
    if release.excused:
        told = "; ".join(f"{name}, as {why}" for name, why in release.excused.items())
        yield from (f"Criteria that do not apply: {_plain(told, 1000)}.", "")
    yield from ("The figures hold for texts like those of the test rows, and for no others.", "")


def _limit(verdicts: Sequence[Verdict]) -> str:
    """What one criterion says of one number or of several slices, with the same outcome."""
    first = verdicts[0]
    found = ", ".join(
        (f"{_plain(verdict.slice)}: " if verdict.slice else "")
        + f"{value(verdict)} ({value_interval(verdict)})"
        for verdict in verdicts
    )
    line = (
        f"- {first.outcome.value}: {_plain(first.gate)}, needs "
        f"{escaped(needed(first.policy, first.unit))}; found {found}. Why this bound: "
        f"{_plain(first.policy.why, 300)}."
    )
    if first.outcome is Outcome.INCONCLUSIVE and first.note:
        line += f" Open: {_plain(first.note)}."
    if len(verdicts) == 1 and first.weakest:
        line += f" Weakest: {_plain(first.weakest)}."
    return line


def _held_out(provenance: Mapping[str, Any]) -> Iterator[str]:
    accuracy, rows = provenance.get("dev_accuracy"), provenance.get("rows") or {}
    if accuracy is None:
        return
    yield from ("## On held-out rows", "")
    if not accuracy:
        yield from ("None were held out.", "")
        return
    yield from (f"{rows['dev']:,} rows cut from the training data, decoded greedily:", "")
    yield from _table(
        ("accuracy", ""), ([_plain(name), f"{100 * n:.1f} %"] for name, n in accuracy.items())
    )
    yield from ("They are of the training data's making, so they are no test set.", "")


def _making(provenance: Mapping[str, Any], plotted: bool) -> Iterator[str]:
    """How it was trained, as far as the provenance says; older ones say less."""
    said, recipe, rows = provenance, provenance.get("recipe") or {}, provenance.get("rows") or {}
    facts: dict[str, str] = {"data": _plain(said.get("data", "unknown"))}
    if rows:
        facts["data"] += (
            f", {rows['trained_on']:,} rows trained on, "
            f"{rows['duplicates_dropped']:,} exact duplicates dropped"
        )
    if "steps" in said:
        facts["steps"] = (
            f"{said['steps']:,} in {_epochs(recipe['epochs'])} of batches of {_batch(recipe)}"
        )
        facts["learning rate"] = f"{recipe['learning_rate']:g}, {_plain(recipe['schedule'])}"
        facts["loss"] = f"{said['train_loss']:.4f} on average"
        if said.get("dev_loss") is not None:
            facts["loss"] += f", {said['dev_loss']:.4f} on held-out rows"
    if "seconds" in said:
        facts["time"] = f"{said['seconds'] / 60:.0f} minutes"
        if "device" in said:
            facts["time"] += f" on {_plain(said['device'])}"
    for remark in said.get("remarks", ()):
        facts["remark"] = f"{facts['remark']} " if "remark" in facts else ""
        facts["remark"] += _plain(remark, 600)
    yield from ("## How it was made", "")
    yield from _table(("", ""), facts.items())
    if plotted:
        yield from ("![loss](loss.png)", "")
    yield (
        "`provenance.json` has the whole recipe, hashes and versions; `contamination.bin` tells "
        "which rows it was trained on without holding their text."
    )
    yield ""


def _epochs(count: float) -> str:
    return f"{count:g} epoch" if count == 1 else f"{count:g} epochs"


def _batch(recipe: Mapping[str, Any]) -> str:
    if recipe.get("tokens_per_batch"):
        return f"{recipe['tokens_per_batch']:,} tokens"
    return f"{recipe['batch_size'] * recipe['gradient_accumulation']} rows"


def _loading(subject: Subject, repo: str) -> Iterator[str]:
    yield from ("## How to load it", "")
    if subject.base is None:
        yield from ("evalkit reads it from this folder: `pytest suites/ --model FOLDER`.", "")
        return
    hub = subject.base_on_hub
    # A JSON string is a Python string.
    adapter = json.dumps(repo or ".")
    yield from ("```python", "from peft import PeftModel")
    yield "from transformers import AutoModelForCausalLM, AutoTokenizer"
    if hub is None:
        yield "from evalkit.systems import load_system"
        yield ""
        yield f"# {printable(subject.base)}"
        yield "base = load_system(PATH_OF_THIS_FOLDER).source.locate()  # after `evalkit fetch`"
        arguments = "base"
    else:
        name, revision = hub
        yield ""
        arguments = json.dumps(name)
        arguments += f", revision={json.dumps(revision)}" if revision else ""
    yield f"tokenizer = AutoTokenizer.from_pretrained({arguments})"
    yield f"model = AutoModelForCausalLM.from_pretrained({arguments})"
    yield f"model = PeftModel.from_pretrained(model, {adapter})"
    yield from ("```", "")
    yield (
        "It was trained with one prompt, that of the task. `pytest suites/ --model FOLDER` asks "
        "it with this very prompt; another one gives other answers than those counted here."
    )
    yield ""
