"""What is left when processes are killed, and when two gates share one folder of runs.

    python benchmarks/faults.py --kills 200 --rounds 50

Commands on a tiny project are killed with SIGKILL at random moments, one after the other on the
same folders, so that damage would add up. After each kill all that can be read has to be whole and
as an undisturbed project has it, and no answer that was kept may be gone; at the end each command
runs through. Then two gates judge the same system at once, every second time one of them afresh:
both have to come to the verdict that one alone comes to. Any trouble is printed, and the exit code
is 1.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from rich.console import Console  # noqa: E402

from evalkit.errors import EvidenceError  # noqa: E402
from evalkit.runs import find_run, read_for_judging, read_verdicts, run_folders  # noqa: E402
from evalkit.weights import stderr_progress  # noqa: E402
from evalkit.weights.cache import cached, damaged, hash_file, keep  # noqa: E402

SUITE = """
import pytest

def test_accuracy(evaluation, gate):
    gate("accuracy", evaluation.accuracy("intents"))

@pytest.mark.each_value("intents")
def test_recall(evaluation, gate, value):
    gate("recall", evaluation.recall("intents", value), slice=value)

def test_others(evaluation, ask, gate):
    gate("others", ask("others", [row.example for row in evaluation.rows[::3]]).accuracy("intents"))
"""
GATES = """
[accuracy]
min_value = 0.1
min_cases = 5
why = "x"
[recall]
min_value = 0.1
min_cases = 5
why = "x"
[others]
min_value = 0.1
min_cases = 5
why = "x"
"""
SYSTEM = 'task = "intents"\nformat = "labels"\n'
RECIPE = '[recipe]\ndata = "rows.jsonl"\ndev_rows = 4\n'
ORIGIN = "0" * 64
show = Console(highlight=False, markup=False, soft_wrap=True).print
CHUNKS = 200


@dataclass
class Project:
    """A tiny project: its folder, and what its commands come to when nobody disturbs them."""

    folder: Path
    verdict: Any = None
    trained: Any = None
    cleaned: str = ""
    took: dict[tuple[str, ...], float] = field(default_factory=dict)
    """Command -> the seconds that it took."""


def main() -> None:
    """Kill, race and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    preload()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EVALKIT_CACHE"] = f"{folder}/cache"
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # of others that are installed
        project = make_project(Path(folder) / "project")
        trouble = [*kill_commands(project, options.kills, options.seed)]
        trouble += race_gates(project, options.rounds)
    for line in trouble:
        show(f"TROUBLE: {line}")
    sys.exit(bool(trouble))


def preload() -> None:
    """Import once what the forked commands need; nothing is computed before the fork."""
    import matplotlib.figure  # noqa: F401
    import peft  # noqa: F401
    import torch
    import transformers  # noqa: F401

    import evalkit.cli
    import evalkit.training.run  # noqa: F401
    import gate_imports  # type: ignore[import-not-found]  # noqa: F401

    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()


def make_project(folder: Path) -> Project:
    """Write a project, and run each command once to know what it comes to."""
    from tiny_models import save_base  # type: ignore[import-not-found]

    folder.mkdir(parents=True)
    save_base(folder / "base", layers=1)
    draw = random.Random(0)
    values = ["payment", "inventory", "none"]
    rows = [
        {"id": str(n), "prompt": f"{values[n % 3]} {draw.randbytes(8).hex()}", "output": [value]}
        for n, value in enumerate(values * 16)
    ]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / "suites").mkdir()
    (folder / "suites" / "test_it.py").write_text(SUITE)
    (folder / "suites" / "gates.toml").write_text(GATES)
    for name, text in {
        "tiny": f'{SYSTEM}base = "../../base"\n{RECIPE}epochs = 1\nprecision = "fp32"\n',
        "base": f'{SYSTEM}base = "../../base"\nadapter = false\ndecoding = "constrained"\n',
        "counts": f'{SYSTEM}engine = "tfidf"\n{RECIPE}',
    }.items():
        (folder / "adapters" / name).mkdir(parents=True)
        (folder / "adapters" / name / "system.toml").write_text(text)
    project = Project(folder)
    for command in (CLEAN, TRAIN, COUNTS, gate("runs")):
        project.took[tuple(command)] = through(project, command)
    project.verdict = verdict_of(*run_folders(folder / "runs"))
    project.trained = {name: trained(folder / "adapters" / name) for name in ("tiny", "counts")}
    project.cleaned = (folder / "clean.jsonl").read_text()
    return project


# Commands

CLEAN = ["evalkit", "data", "clean", "rows.jsonl", "--task", "intents", "--out", "clean.jsonl"]
CLEAN += ["--force"]
TRAIN = ["evalkit", "train", "tiny", "--device", "cpu"]
COUNTS = ["evalkit", "train", "counts"]


def gate(runs: str, *more: str) -> list[str]:
    """The command that judges the tiny base."""
    given = ["--model", "base", "--data", "rows.jsonl", "--runs", runs, "-p", "no:cacheprovider"]
    given += ["-p", "evalkit.pytest_plugin"]
    return ["pytest", "suites", *given, *more]


def start(folder: Path, command: Sequence[str]) -> int:
    """Fork a process that does a command in a folder, and return its id."""
    pid = os.fork()
    if pid:
        return pid
    code = 70
    try:
        os.setsid()
        log = os.open(folder / "log", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.chdir(folder)
        code = _do(command)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _do(command: Sequence[str]) -> int:
    program, *arguments = command
    if program == "fetch":
        if found := cached("tiny", ORIGIN):  # fetched before: once more from the beginning
            shutil.rmtree(found)
        with stderr_progress() as progress:
            keep("tiny", ORIGIN, "a benchmark", _make_weights, progress)
        return 0
    if program == "pytest":
        import pytest

        return int(pytest.main(arguments))
    from evalkit.cli import main as evalkit

    sys.argv = ["evalkit", *arguments]
    evalkit()
    return 0


def _make_weights(work: Path, content: Path) -> None:
    with (content / "model.safetensors").open("wb") as file:
        for number in range(CHUNKS):
            file.write(bytes([number]) * 200_000)
    (content / "config.json").write_text("{}")
    (content / "tokenizer.json").write_text("{}")


def finish(pid: int) -> int:
    """Wait for a process; its exit code."""
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def through(project: Project, command: Sequence[str]) -> float:
    """Do a command to its end; the seconds that it took.

    Raises:
        RuntimeError: it broke down.
    """
    started = time.perf_counter()
    code = finish(start(project.folder, command))
    if code not in (0, 1):
        log = (project.folder / "log").read_text(errors="replace")
        raise RuntimeError(f"{' '.join(command)} ended with {code}:\n{log[-3000:]}")
    return time.perf_counter() - started


# What has to hold


def verdict_of(run: Path) -> Any:
    """What a run's gates said, without what differs from run to run."""
    found = read_verdicts(run)
    if found is None:
        return None
    gates = [[g["gate"], g["slice"], g["outcome"], g["estimate"]] for g in found["gates"]]
    said = [[row.example.id, row.completion.text] for row in read_for_judging(run).rows]
    return [found["may_ship"], found["not_judged"], gates, said]


def trained(system: Path) -> dict[str, str]:
    """The hashes of what a training left; none of them where the weights are not there."""
    weights = [system / name for name in ("adapter_model.safetensors", "baseline.safetensors")]
    whole = [path for path in weights if path.is_file()]
    if not whole:
        return {}
    json.loads((system / "provenance.json").read_text())
    return {path.name: hash_file(path) for path in (*whole, system / "contamination.bin")}


def check_fetch(project: Project) -> Iterator[str]:
    """Weights are whole or not there."""
    found = cached("tiny", ORIGIN)
    if found and damaged(found, anew=True):
        yield "damaged weights are believed"


def check_runs(project: Project, runs: str = "runs") -> Iterator[str]:
    """Every run there is can be read, and its verdicts are the right ones, or none."""
    for folder in run_folders(project.folder / runs):
        try:
            read_for_judging(folder)
            if verdict_of(folder) not in (None, project.verdict):
                yield f"{folder.name}: another verdict"
        except EvidenceError as error:
            yield f"{folder.name}: {error}"
        report = folder / "report.html"
        if report.exists() and not report.read_text().rstrip().endswith("</html>"):
            yield f"{folder.name}: half a report"


def check_trained(name: str, project: Project) -> Iterator[str]:
    """A trained system is whole, or has no weights."""
    if trained(project.folder / "adapters" / name) not in ({}, project.trained[name]):
        yield f"{name}: half trained, or trained otherwise"


def check_baseline(project: Project) -> Iterator[str]:
    """The baseline is there, and is a whole run."""
    if verdict_of(find_run("good", project.folder / "runs")) != project.verdict:
        yield "the baseline is not what was kept"


def check_clean(project: Project) -> Iterator[str]:
    """What was written before is there, whole."""
    if (project.folder / "clean.jsonl").read_text() != project.cleaned:
        yield "half a cleaned file"


# Kills


def kill_commands(project: Project, kills: int, seed: int) -> Iterator[str]:
    """Kill each command in turn at random moments; what went wrong."""
    first = run_folders(project.folder / "runs")[0].name
    keep_run = ["evalkit", "baseline", "set", first, "--name", "good"]
    commands: dict[str, tuple[list[str], Callable[[Project], Iterator[str]]]] = {
        "fetch": (["fetch"], check_fetch),
        "gate": (gate("runs"), check_runs),
        "gate --fresh": (gate("runs", "--fresh"), check_runs),
        "train an adapter": (TRAIN, partial(check_trained, "tiny")),
        "train a baseline": (COUNTS, partial(check_trained, "counts")),
        "report": (["evalkit", "report", first], check_runs),
        "baseline set": (keep_run, check_baseline),
        "data clean": (CLEAN, check_clean),
    }
    draw = random.Random(seed)
    took = {
        name: project.took.get(tuple(command)) or through(project, command)
        for name, (command, _) in commands.items()
    }
    killed: Counter[str] = Counter()
    names = list(commands)
    started = time.perf_counter()
    tries = 0
    while killed.total() < kills:
        name = names[tries % len(names)]
        tries += 1
        command, check = commands[name]
        before = _answers(project)
        pid = start(project.folder, command)
        time.sleep(draw.random() * took[name])
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        killed[name] += finish(pid) == -signal.SIGKILL
        yield from (f"{name}: {what}" for what in check(project))
        yield from (f"{name}: {what}" for what in _lost(project, before))
    for name, (command, check) in commands.items():
        through(project, command)
        yield from (f"{name}, at the end: {what}" for what in check(project))
    each = ", ".join(f"{name} {killed[name]}" for name in commands)
    show(f"{killed.total()} kills in {time.perf_counter() - started:.0f} s: {each}")


def _answers(project: Project) -> dict[str, bytes]:
    found = (project.folder / "runs" / ".answers").glob("*.jsonl")
    return {path.name: path.read_bytes() for path in found}


def _lost(project: Project, before: dict[str, bytes]) -> Iterator[str]:
    after = _answers(project)
    for name, content in before.items():
        if not after.get(name, b"").startswith(content):
            yield f"answers in {name} are gone"


# Races


def race_gates(project: Project, rounds: int) -> Iterator[str]:
    """Two gates at once on a new folder of runs each time; what went wrong."""
    started = time.perf_counter()
    same = 0
    for number in range(rounds):
        runs = f"race-{number}"
        both = [gate(runs), gate(runs, *(["--fresh"] if number % 2 else []))]
        codes = [finish(pid) for pid in [start(project.folder, command) for command in both]]
        folders = run_folders(project.folder / runs)
        right = [verdict_of(folder) == project.verdict for folder in folders]
        same += right == [True, True]
        if right != [True, True] or len(set(codes)) != 1:
            yield f"round {number}: exit codes {codes}, verdicts as alone: {right}"
        yield from check_runs(project, runs)
    took = time.perf_counter() - started
    show(f"{rounds} rounds of two gates in {took:.0f} s: {same} with both verdicts as alone")


if __name__ == "__main__":
    main()
