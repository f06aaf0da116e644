"""`evalkit data stats | clean | remap | split | augment`, as their user meets them."""

from __future__ import annotations

import hashlib
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from evalkit.cli import main

PROMPTS = {
    "payment": ["Pay my bill", "Pay my bill", "Refund the shoes please", "Is my card accepted"],
    "user_auth": ["Sign me in", "I forgot my password", "Delete the account I made"],
    "inventory": ["Is the lamp in stock", "How many chairs are left", "<b>sold out?</b> | x"],
    "none": ["What a sunny day", "Tell me a joke"],
}


Run = Callable[..., "Done"]


@dataclass
class Done:
    returncode: int
    stdout: str
    stderr: str


@pytest.fixture
def evalkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command line in `tmp_path`; in this process, as starting one takes a second."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "80")

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["evalkit", "data", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return Done(int(str(stop.value)), *capsys.readouterr())

    return run


def read(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def tree(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def intents(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    rows = [{"prompt": p, "output": [label]} for label, all_ in PROMPTS.items() for p in all_]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def notifications(tmp_path: Path) -> Path:
    path = tmp_path / "five.jsonl"
    rows = [
        {
            "notification": {"app": "Mail", "title": "", "body": f"{name} was here today"},
            "classification": {"folder": "Work", "priority": 1 + number % 5},
        }
        for number, name in enumerate(("Ann", "Bertrand", "Charlotte", "Dominic", "Esmeralda"))
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


COMMANDS = {
    "clean": ([], "{stem}.clean.jsonl"),
    "augment": ([], "{stem}.augmented.jsonl"),
    "split": (["--parts", "train=0.6", "test=0.4"], "{stem}-parts/train.jsonl"),
    "remap": (["--task", "notifications-3level"], "{stem}.remapped.jsonl"),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_each_command(evalkit: Run, intents: Path, notifications: Path, command: str) -> None:
    """A dry run changes nothing; the run writes; again it refuses, and --force does not."""
    source = notifications if command == "remap" else intents
    options, name = COMMANDS[command]
    out = source.parent / name.format(stem=source.stem)
    asked = [command, source.name, *options, "--report", "report.md"]
    before = tree(source.parent)
    dry = evalkit(*asked, "--dry-run")
    assert dry.returncode == 0, dry.stderr
    assert "nothing was written" in dry.stdout
    assert tree(source.parent) == before
    done = evalkit(*asked)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[:-1] == dry.stdout.splitlines()[:-1]
    after = tree(source.parent)
    assert {path: after[path] for path in before} == before
    assert out.is_file()
    report = (source.parent / "report.md").read_text(encoding="utf-8")
    pictures = [path.name for path in source.parent.glob("report-*.png")]
    assert pictures
    assert all(f"](<{picture}>)" in report for picture in pictures)
    assert not [path for path in after if Path(path).name.startswith(".")]
    again = evalkit(*asked)
    assert (again.returncode, tree(source.parent)) == (4, after)
    assert "--force" in again.stderr
    forced = evalkit(*asked, "--force")
    assert (forced.returncode, tree(source.parent)) == (0, after)


@pytest.mark.parametrize("command", ["clean", "augment", "remap", "split"])
def test_the_source_is_never_overwritten(
    evalkit: Run, intents: Path, notifications: Path, tmp_path: Path, command: str
) -> None:
    source = notifications if command == "remap" else intents
    options = COMMANDS[command][0]
    link = tmp_path / "out" / "train.jsonl"
    link.parent.mkdir()
    link.symlink_to(source)
    before = tree(tmp_path)
    outs = [link.parent] if command == "split" else [link, source, source.name]
    for out in outs:
        arguments = (command, source, *options, "--out", out, "--force")
        done = evalkit(*arguments)
        assert done.returncode == 4
        assert "never overwritten" in done.stderr
        assert "Traceback" not in done.stderr
    assert tree(tmp_path) == before
    assert link.is_symlink()


def test_clean_keeps_lines_as_they_stand_and_counts_what_it_removes(
    evalkit: Run, intents: Path
) -> None:
    done = evalkit("clean", intents.name, "--json")
    found = json.loads(done.stdout)
    lines = intents.read_text(encoding="utf-8").splitlines()
    assert (found["rows"], found["kept"]) == (12, 11)
    assert found["removed"]["exact-duplicate"] == len(lines) - len(set(lines)) == 1
    assert found["written"] == ["rows.clean.jsonl"]
    kept = (intents.parent / "rows.clean.jsonl").read_text(encoding="utf-8").splitlines()
    assert kept == list(dict.fromkeys(lines))


def test_split_loses_no_row(evalkit: Run, intents: Path) -> None:
    done = evalkit("split", intents.name, "train=0.5", "dev=0.5")
    assert done.returncode == 0, done.stderr
    parts = [intents.parent / "rows-parts" / f"{name}.jsonl" for name in ("train", "dev")]
    lines = [line for part in parts for line in part.read_text(encoding="utf-8").splitlines()]
    assert sorted(lines) == sorted(intents.read_text(encoding="utf-8").splitlines())
    texts = [{row["prompt"] for row in read(part)} for part in parts]
    assert not texts[0] & texts[1]


def test_augment_appends_marked_rows_and_split_keeps_them_with_their_sources(
    evalkit: Run,
    intents: Path,
) -> None:
    folder = intents.parent
    done = evalkit("augment", intents, "--share", "0.25", "--seed", "2")
    assert done.returncode == 0, done.stderr
    lines = (folder / "rows.augmented.jsonl").read_text(encoding="utf-8").splitlines()
    assert lines[:12] == intents.read_text(encoding="utf-8").splitlines()
    made = [json.loads(line) for line in lines[12:]]
    assert len(made) == 4
    assert all(len(row["output"]) == 2 and row["synthetic"]["sources"] for row in made)
    done = evalkit("split", "rows.augmented.jsonl", "a=0.5", "b=0.5", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["largest_group"] >= 3


def test_remap_counts_what_became_what(evalkit: Run, notifications: Path) -> None:
    folder = notifications.parent
    options = ["--task", "notifications-3level", "--json"]
    found = json.loads(evalkit("remap", notifications, *options).stdout)
    assert (found["rows"], found["changed"]) == (5, 4)
    assert {"was": "5", "is": "3", "rows": 1} in found["labels"]["priority"]
    mapped = [r["classification"]["priority"] for r in read(folder / "five.remapped.jsonl")]
    assert mapped == [1, 1, 2, 3, 3]


def test_stats_fit_80_columns_and_show_no_markup(evalkit: Run, intents: Path) -> None:
    done = evalkit("stats", intents.name)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    rows = [line.split() for line in done.stdout.splitlines()]
    assert ["payment", "4", "33.3%"] in rows
    assert ["exact", "1", "2", "1", "0"] in rows
    found = json.loads(evalkit("stats", intents.name, "--json").stdout)
    assert found["labels"]["intents"]["none"] == 2
    assert found["duplicates"]["exact"] == {"groups": 1, "repeats": 1, "labels_differ": 0}


def test_a_report_without_matplotlib_says_so(
    evalkit: Run, intents: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = evalkit("clean", intents, "--report", "r.md", "--show", "9")
    assert done.returncode == 0, done.stderr
    report = (intents.parent / "r.md").read_text(encoding="utf-8")
    assert "matplotlib is missing" in report
    assert "<" not in report.replace("\\<", "")
    assert not list(intents.parent.glob("*.png"))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clean", "nothing.jsonl"], "There is no file nothing.jsonl"),
        (["clean", "rows.jsonl", "--keep", "exact-dup"], "Did you mean 'exact-duplicate'?"),
        (["clean", "rows.jsonl", "--min-chars", "9", "--max-chars", "3"], "--min-chars 9"),
        (["clean", "rows.jsonl", "--threshold", "80"], "not a share from 0.5 to 1"),
        (["clean", "rows.jsonl", "--report", "r.html"], "end its name in .md"),
        (["clean", "rows.jsonl", "--out", "r.md", "--report", "r.md"], "same name"),
        (["split", "rows.jsonl", "--parts", "a=0.5", "b=0.6"], "come to 1.1"),
        (["split", "rows.jsonl", "--task", "notifications-5level"], "rows.jsonl:1:"),
        (["split", "rows.jsonl", "--on-bad-row", "maybe"], "stop or skip, not 'maybe'"),
        (["remap", "rows.jsonl"], "Name the task"),
        (["remap", "rows.jsonl", "--task", "intents"], "There is nothing to map"),
        (["remap", "rows.jsonl", "--task", "intents", "--map", "x"], "FIELD.OLD=NEW"),
        (["augment", "rows.jsonl", "--share", "1.5"], "not a share between 0 and 1"),
        (["augment", "five.jsonl"], "for multi-label tasks"),
        (["stats", "five.jsonl", "--task", "intents"], "no example of task 'intents'"),
    ],
)
def test_a_users_mistake_exits_4_and_writes_nothing(
    evalkit: Run, intents: Path, notifications: Path, arguments: list[str], message: str
) -> None:
    before = tree(intents.parent)
    done = evalkit(*arguments)
    assert done.returncode == 4
    assert message in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr
    assert tree(intents.parent) == before
