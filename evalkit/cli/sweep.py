"""`evalkit sweep`: recipes tried on dev rows."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from evalkit.atomic import write_text
from evalkit.cli.common import AnyName, AsJson, OnDevice, print_json, tell
from evalkit.cli.train import changed, changed_recipe
from evalkit.data.sources import find_source
from evalkit.errors import UserError
from evalkit.gates.score import score
from evalkit.reports.judged import read_judged
from evalkit.reports.render.terminal import to_terminal, write_shown
from evalkit.reports.sweep import Trial, plot_trials, sweep_blocks, sweep_to_json
from evalkit.runs import RECORD
from evalkit.systems import load_system, shown_path
from evalkit.toml_files import toml_value
from evalkit.training.trials import grid, read_space, search
from evalkit.weights.cache import hash_file

if TYPE_CHECKING:
    from evalkit.systems import System

RESULT = "trial.json"


def sweep(
    name: AnyName = None,
    change: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="KEY=VALUES",
            help="Values to try: --set c=3,10 or, drawn, c=1..100:log.",
        ),
    ] = None,
    trials: Annotated[
        int | None, typer.Option(min=1, help="Draw so many, by Optuna; every combination else.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the draw.")] = 0,
    data: Annotated[
        str | None, typer.Option(help="Training rows, in place of the recipe's `data`.")
    ] = None,
    split: Annotated[str, typer.Option(help="What is chosen by: dev, and nothing else.")] = "dev",
    suites: Annotated[Path, typer.Option(help="Folder of suites.")] = Path("suites"),
    device: OnDevice = "auto",
    out: Annotated[Path, typer.Option(help="Folder of all sweeps.")] = Path("runs/sweeps"),
    as_json: AsJson = False,
) -> None:
    """Train with several recipes; say which does best at the gates on dev rows.

    Interrupted, the same command goes on where it was.
    """
    if split != "dev":
        raise UserError(
            "--split dev is the only one: who chooses by the test rows has trained on them, and "
            "nobody can tell any more how good the system is."
        )
    system = load_system(name)
    if not system.trained_files or not system.config.recipe:
        raise UserError(f"{system.name} has no [recipe] to train by.")
    if not change:
        raise UserError("Name the values to try: --set learning_rate=5e-4,1e-3 --set epochs=1,2.")
    space = read_space(change)
    folder = out / system.name
    found: dict[str, Trial] = {}

    def rate(changes: Mapping[str, Any]) -> float | None:
        key = _key(system, changes, data, suites)
        if key not in found:
            told = ", ".join(f"{name} = {value}" for name, value in changes.items())
            tell(f"trial {len(found) + 1}: {told}", err=True)
            found[key] = try_recipe(system, changes, folder / key, Commands(data, device, suites))
        return found[key].total

    if trials is None:
        combinations = list(grid(space))
        for changes in combinations:
            changed_recipe(system, _settings(changes))
        for changes in combinations:
            rate(changes)
    else:
        search(space, trials, seed, rate)
    tried = list(found.values())
    content = sweep_to_json(system.name, tried)
    if all(trial.total is None for trial in tried):
        raise UserError("No trial came to an end; each says above what stopped it.")
    write_text(folder / "sweep.json", json.dumps(content, indent=2) + "\n")
    plot_trials(tried, folder / "sweep.png")
    if as_json:
        print_json(content)
        return
    blocks = sweep_blocks(tried, shown_path(system.folder / "system.toml"))
    write_shown(sys.stdout, to_terminal(blocks))


class Commands:
    """What a trial runs, each in a process of its own, which gives all of its memory back."""

    def __init__(self, data: str | None, device: str, suites: Path) -> None:
        self.data, self.device, self.suites = data, device, suites

    def train(self, system: System, changes: Sequence[str], folder: Path) -> int:
        """Train by a changed recipe into a folder; returns the exit code."""
        words = ["evalkit", "train", system.argument, "--out", str(folder), "--device", self.device]
        words += [word for change in changes for word in ("--set", change)]
        return self._run([*words, *(["--data", self.data] if self.data else [])])

    def judge(self, folder: Path) -> int:
        """Ask what was trained on dev rows; returns the exit code."""
        words = ["pytest", str(self.suites), "-q", "--model", str(folder), "--split", "dev"]
        # These two are of the engine and of another system.
        left_out = [self.suites / f"test_{name}.py" for name in ("repeatability", "baseline")]
        words += [f"--ignore={path}" for path in left_out if path.exists()]
        return self._run([*words, "--device", self.device, "--runs", str(folder / "runs")])

    @staticmethod
    def _run(words: Sequence[str]) -> int:
        # What it has to say goes where progress goes.
        done = subprocess.run([sys.executable, "-m", *words], stdout=sys.stderr, check=False)
        if done.returncode in (2, -2):
            raise KeyboardInterrupt
        return done.returncode


def try_recipe(
    system: System, changes: Mapping[str, Any], folder: Path, commands: Commands
) -> Trial:
    """Train by a changed recipe and judge it on dev rows, unless that was done before."""
    result = folder / RESULT
    if result.is_file():
        return Trial.from_json(json.loads(result.read_text(encoding="utf-8")))
    code = commands.train(system, _settings(changes), folder)
    if code == 0:
        code = commands.judge(folder)
    runs = sorted((folder / "runs").glob(f"[!.]*/{RECORD}"))
    judged = read_judged(runs[-1].parent) if code == 1 and runs else None
    if judged is None or judged.release is None or judged.evaluation.record.data.split != "dev":
        return Trial(changes, folder)
    trial = Trial(changes, folder, score(judged.release.verdicts))
    write_text(result, json.dumps(trial.to_json(), indent=2) + "\n")
    return trial


def _settings(changes: Mapping[str, Any]) -> list[str]:
    return [f"{key}={toml_value(value)}" for key, value in changes.items()]


def _key(system: System, changes: Mapping[str, Any], data: str | None, suites: Path) -> str:
    """A name for a trial: by all that decides how it comes out and what it is judged by."""
    table = changed(system.config.recipe, _settings(changes))
    config = system.config.model_dump(mode="json", exclude={"recipe"})
    parts = [json.dumps([table, config, data], sort_keys=True)]
    fixtures = Path("fixtures").glob("*/dev*")
    files = [*_files(table, system), *suites.glob("*.py"), *suites.glob("gates.toml"), *fixtures]
    parts += [_hash(path) for path in sorted({*files, *([Path(data)] if data else [])})]
    return hashlib.sha256("\n".join(parts).encode()).hexdigest()[:12]


def _files(content: object, system: System) -> Iterable[Path]:
    """The files that a recipe names, wherever it does."""
    if isinstance(content, Mapping):
        content = list(content.values())
    if isinstance(content, list | tuple):
        for inner in content:
            yield from _files(inner, system)
    elif isinstance(content, str) and "." in content:
        path = Path(find_source(content, system.folder))
        if path.is_file():
            yield path


def _hash(path: Path) -> str:
    return hash_file(path) if path.is_file() else ""
