"""The trials of a sweep: a table, a plot, and the best as keys to paste."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from evalkit.gates.groups import Group
from evalkit.gates.score import Score
from evalkit.reports.view import (
    Blocks,
    Bold,
    Code,
    Column,
    Figure,
    Heading,
    Paragraph,
    Plain,
    phrase,
    table,
)
from evalkit.toml_files import to_toml, toml_value
from evalkit.training.loss_plot import can_plot


@dataclass(frozen=True)
class Trial:
    """One recipe of a sweep, and how it stands to the gates on dev rows."""

    changes: Mapping[str, Any]
    folder: Path
    score: Score | None = None
    """None where its training or its judging broke off."""

    @property
    def total(self) -> float | None:
        """The score as one number."""
        return self.score.total if self.score else None

    def to_json(self) -> dict[str, Any]:
        """As `trial.json` has it."""
        found = self.score
        return {
            "changes": dict(self.changes),
            "folder": str(self.folder),
            "score": found and round(found.total, 6),
            "margins": {g.value: round(m, 6) for g, m in found.margins.items()} if found else {},
            "failed": found and found.failed,
            "accuracy": found and found.accuracy,
        }

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> Self:
        """What `to_json` gave of a trial that has a score."""
        margins = {Group(name): margin for name, margin in content["margins"].items()}
        score = Score(margins, content["failed"], content["accuracy"])
        return cls(content["changes"], Path(content["folder"]), score)


def ranked(trials: Sequence[Trial]) -> list[Trial]:
    """The best first; of equals the one that was tried first. Those without a score come last."""
    return sorted(trials, key=lambda t: tuple(-x for x in t.score.rank) if t.score else (9.0, 0.0))


def varied_keys(trials: Sequence[Trial]) -> list[str]:
    """The keys that are not the same in all trials; of a single trial, all."""
    keys = dict.fromkeys(key for trial in trials for key in trial.changes)
    varied = [k for k in keys if len({toml_value(t.changes.get(k)) for t in trials}) > 1]
    return varied or list(keys)


def sweep_blocks(trials: Sequence[Trial], file: str) -> Blocks:
    """Every trial, the best first, and the best's keys as TOML."""
    order = ranked(trials)
    keys = varied_keys(trials)
    groups = [g for g in Group if any(t.score and g in t.score.margins for t in order)]
    rows = [
        [
            *(toml_value(trial.changes.get(key)) for key in keys),
            None if trial.score is None else Plain(100 * trial.score.total, "+.2f"),
            None if trial.score is None else trial.score.failed,
            None if trial.score is None else Figure(trial.score.accuracy),
            *(
                Plain(100 * trial.score.margins[g], "+.1f")
                if trial.score and g in trial.score.margins
                else None
                for g in groups
            ),
        ]
        for trial in order
    ]
    heads = [Column(Code(key), is_text=True) for key in keys]
    heads += [Column(phrase(f"sweep.{name}")) for name in ("score", "failed", "accuracy")]
    heads += [Column(phrase(f"group.{g}"), drop=1) for g in groups]
    blocks = table(heads, rows)
    best = order[0] if order and order[0].score else None
    if best is None:
        return [*blocks, Paragraph(Bold(phrase("sweep.none")))]
    blocks.append(Paragraph(phrase("sweep.reading")))
    blocks.append(Heading(2, phrase("sweep.best", folder=Code(str(best.folder)), file=Code(file))))
    toml = to_toml(best.changes).splitlines()
    return [*blocks, *(Paragraph(Code(line)) for line in toml if line)]


def sweep_to_json(system: str, trials: Sequence[Trial]) -> dict[str, Any]:
    """The same as data."""
    order = ranked(trials)
    best = order[0].to_json() if order and order[0].score else None
    return {"system": system, "split": "dev", "best": best, "trials": [t.to_json() for t in order]}


def plot_trials(trials: Sequence[Trial], path: Path) -> None:
    """Draw the score over each key that was changed; nothing where matplotlib is missing."""
    scored = [trial for trial in trials if trial.score]
    if not can_plot() or not scored:
        return
    from matplotlib.figure import Figure as Plot

    keys = varied_keys(scored)
    plot = Plot(figsize=(3.5 * len(keys), 3.5), layout="constrained")
    scores = [100 * trial.score.total for trial in scored if trial.score]
    for axes, key in zip(plot.subplots(1, len(keys), squeeze=False)[0], keys, strict=True):
        values = [trial.changes[key] for trial in scored]
        if all(isinstance(v, int | float) and not isinstance(v, bool) for v in values):
            axes.plot(values, scores, "o")
            if min(values) > 0 and max(values) / min(values) >= 10:
                axes.set_xscale("log")
        else:
            axes.plot([toml_value(v) for v in values], scores, "o")
        axes.set_xlabel(key)
        axes.set_ylabel("score on dev rows (points)")
    plot.savefig(path, dpi=100, metadata={"Software": None})
