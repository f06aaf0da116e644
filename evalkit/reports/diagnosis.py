"""What a failed run can be mended by: its failed gates by question, evidence, keys to set."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.errors import UserError
from evalkit.gates import Advice, Finding, Group, Subject, diagnose, group_of, merged
from evalkit.gates.remedies import Trainer
from evalkit.reports.judged import JudgedRun
from evalkit.reports.view import (
    Blocks,
    Bold,
    Cell,
    Code,
    Column,
    Heading,
    Paragraph,
    bound,
    bullets,
    columns,
    listed,
    phrase,
    table,
    verdict_value,
)
from evalkit.run_record import Provenance
from evalkit.runs import read_verdicts
from evalkit.systems import System, load_system, shown_path
from evalkit.tasks import FieldKind
from evalkit.toml_files import assignments, to_toml, toml_value
from evalkit.training.recipe import BASELINES, TfidfRecipe, read_baseline_recipe, read_recipe

ROWS = 3
"""Named beside a gate."""
_KEYS = 2
"""Named in a line of the verdict."""


@dataclass(frozen=True)
class Diagnosis:
    """A judged run, what failed in it, and what answers that."""

    run: JudgedRun
    findings: tuple[Finding, ...]
    rows: Mapping[str, Sequence[str]]
    """Gate with its slice -> ids of the rows counted against it."""
    system: System | None
    """None where it is not on the shelf any more."""

    @property
    def keys(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """Recipe keys to set, and keys of the system.toml above the recipe."""
        return merged(self.findings)

    @property
    def blocked_by(self) -> list[str]:
        """What keeps it from shipping besides failed gates."""
        release = self.run.release
        assert release is not None
        regressed = [release.called(r.label) for r in release.regressions]
        return [*release.faults, *release.not_judged, *regressed]


def diagnose_run(run: JudgedRun) -> Diagnosis:
    """Find what answers the failed gates of a run.

    Raises:
        UserError: the run has no verdicts that hold, or its system's recipe has a fault.
    """
    if run.release is None:
        raise UserError(
            f"{run.name} has no verdicts: {run.why_none}. `evalkit gate {run.name}` judges it."
        )
    system = _find_system(run.system)
    content = read_verdicts(run.folder) or {}
    rows = {
        (f"{g['gate']}[{g['slice']}]" if g["slice"] else g["gate"]): g["counted_against"]
        for g in content["gates"]
    }
    return Diagnosis(run, diagnose(run.release.verdicts, _subject(run, system)), rows, system)


def findings_of(run: JudgedRun) -> tuple[Finding, ...]:
    """What failed and what answers it; nothing where that cannot be told, as a report goes on."""
    if run.release is None:
        return ()
    try:
        return diagnose(run.release.verdicts, _subject(run, _find_system(run.system)))
    except UserError:
        return ()


def to_try(run: JudgedRun) -> dict[Group, Cell]:
    """The keys that answer a failed question first, for the line of the verdict."""
    found: dict[Group, Cell] = {}
    for finding in findings_of(run):
        advised = (_settings(advice)[:_KEYS] for advice in finding.advice)
        if keys := next(filter(None, advised), None):
            found[finding.failure.group] = phrase("diagnosis.try", keys=listed(keys))
    return found


def help_section(run: JudgedRun) -> Blocks:
    """What answers each failed question, worst first."""
    same: dict[tuple[str, ...], list[Finding]] = {}
    for finding in findings_of(run):
        if finding.advice:
            same.setdefault(tuple(map(str, finding.advice)), []).append(finding)
    told = [
        phrase(
            "diagnosis.answers",
            questions=listed(phrase(f"group.{finding.failure.group}") for finding in findings),
            advice=listed(map(_advice, findings[0].advice), "form.beside"),
        )
        for findings in same.values()
    ]
    command = Code(f"evalkit diagnose {run.name}")
    return [*bullets(told), Paragraph(phrase("diagnosis.more", command=command))] if told else []


def _find_system(name: str) -> System | None:
    try:
        return load_system(name)
    except UserError:
        return None


def _subject(run: JudgedRun, system: System | None) -> Subject:
    record, task = run.evaluation.record, run.evaluation.task
    trainer: Trainer | None = None
    engine = str(record.engine.get("engine"))
    if BASELINES.get(engine) is TfidfRecipe:
        trainer = "tfidf"
    elif "adapter" in record.abilities:
        trainer = "adapter"
    scales = [name for name, f in task.fields.items() if f.kind is FieldKind.ORDINAL]
    fields = [*(name for name in task.fields if name not in scales), *scales]
    if system is None or not system.config.recipe:
        return Subject(trainer, task.family, fields)
    table, where = system.config.recipe, str(system.folder / "system.toml")
    recipe = read_recipe(table, where) if trainer == "adapter" else (
        read_baseline_recipe(engine if trainer == "tfidf" else "majority", table, where)
    )  # fmt: skip
    now, above = recipe.model_dump(), system.config.model_dump(exclude={"recipe"})
    provenance = Provenance.read(system.folder)
    return Subject(trainer, task.family, fields, now, above, provenance.fits if provenance else {})


def diagnosis_blocks(found: Diagnosis) -> Blocks:
    """What failed, worst first, with the evidence and the advice; then all keys in one piece."""
    release = found.run.release
    assert release is not None
    failed = sum(len(finding.failure.failed) for finding in found.findings)
    said = {"system": found.run.system, "run": found.run.name, "all": len(release.verdicts)}
    head = phrase("diagnosis.system", failed=failed, **said) if failed else (
        phrase("diagnosis.none", **said)
    )  # fmt: skip
    blocks: Blocks = [Paragraph(Bold(head))]
    for finding in found.findings:
        blocks += _finding(finding, found)
    if found.blocked_by:
        blocks.append(Paragraph(phrase("diagnosis.unjudged", names=listed(found.blocked_by))))
    return [*blocks, *_keys(found)] if failed else blocks


def _finding(finding: Finding, found: Diagnosis) -> Blocks:
    release = found.run.release
    assert release is not None
    group, verdicts = finding.failure.group, finding.failure.failed
    n = sum(group_of(v.gate, v.slice, v.metric) is group for v in release.verdicts)
    question, failed = phrase(f"group.{group}"), len(verdicts)
    rows = [
        [
            Code(v.shown),
            verdict_value(v),
            bound(v),
            v.estimate.n,
            v.weakest or None,
            ", ".join(found.rows.get(v.label, ())[:ROWS]) or None,
        ]
        for v in verdicts
    ]
    heads = [*columns("gate", "value", "needs", "n"), Column(phrase("col.detail"), True, 2, True)]
    heads.append(Column(phrase("col.counted"), True, 1, True))
    return [
        Heading(2, phrase("diagnosis.question", question=question, failed=failed, all=n)),
        *table(heads, rows),
        *bullets(_advice(advice) for advice in finding.advice),
    ]


def _advice(advice: Advice) -> Cell:
    what = phrase(f"remedy.{advice.name}")
    if advice.is_spent:
        return phrase("diagnosis.spent", what=what)
    keys = _settings(advice)
    return phrase("diagnosis.advice", what=what, keys=listed(keys)) if keys else what


def _settings(advice: Advice) -> list[Cell]:
    return [Code(line) for line in assignments({**advice.system, **advice.recipe})]


def _keys(found: Diagnosis) -> Blocks:
    recipe, system = found.keys
    if not recipe and not system:
        return [Paragraph(phrase("diagnosis.no_keys"))]
    file = shown_path(found.system.folder / "system.toml") if found.system else "system.toml"
    blocks: Blocks = [Heading(2, phrase("diagnosis.toml", file=Code(file)))]
    blocks += [Paragraph(Code(line)) for line in to_toml(recipe, system).splitlines() if line]
    if recipe and found.system:
        blocks += [
            Heading(2, phrase("diagnosis.train")),
            Paragraph(Code(train_command(found.system.argument, recipe))),
        ]
    return blocks


def train_command(name: str, recipe: Mapping[str, Any]) -> str:
    """One training with these keys."""
    changes = (shlex.quote(f"{key}={toml_value(value)}") for key, value in recipe.items())
    return " ".join([f"evalkit train {name}", *(f"--set {change}" for change in changes)])


def diagnosis_to_json(found: Diagnosis) -> dict[str, Any]:
    """The same as data."""
    release = found.run.release
    assert release is not None
    recipe, system = found.keys
    return {
        "run": found.run.name,
        "system": found.run.system,
        "may_ship": release.decided,
        "findings": [
            {
                "question": finding.failure.group.value,
                "gates": [
                    {
                        "gate": v.gate,
                        "slice": v.slice,
                        "value": v.estimate.value,
                        "needs": v.policy.threshold,
                        "shortfall": v.shortfall,
                        "n": v.estimate.n,
                        "detail": v.weakest,
                        "rows": list(found.rows.get(v.label, ())),
                    }
                    for v in finding.failure.failed
                ],
                "advice": [
                    {
                        "remedy": advice.name,
                        "recipe": dict(advice.recipe),
                        "system": dict(advice.system),
                        "spent": advice.is_spent,
                    }
                    for advice in finding.advice
                ],
            }
            for finding in found.findings
        ],
        "blocked_by": found.blocked_by,
        "recipe": recipe,
        "system_toml": system,
    }
