"""evalkit from Python: `load`, `evaluate` and `read_run`."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import evalkit
from evalkit.errors import UserError

ROWS = [
    ("1", "Pay my bill", ["payment"]),
    ("2", "Sign me in and refund the shoes", ["payment", "user_auth"]),
    ("3", "A joke, please", ["none"]),
    ("4", "How many chairs are left in stock", ["inventory"]),
]


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    lines = [json.dumps({"id": i, "prompt": p, "output": o}) for i, p, o in ROWS]
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_a_function_is_scored(rows: Path) -> None:
    said: dict[str, object] = {
        "1": "payment",
        "2": ["user_auth", "payment"],  # a set in any order
        "3": None,
        "4": ["stock"],
    }
    answers = {prompt: said[i] for i, prompt, _ in ROWS}

    def answer(text: str) -> object:
        return answers[text]

    found = evalkit.evaluate(answer, rows, task="intents")
    estimate = found.accuracy("intents").estimate
    assert (estimate.value, estimate.n) == (0.5, 4)
    assert found.parse_failure_rate().estimate.value == 0.25
    assert found.out_of_enum_rate("intents").estimate.value == 0.25
    assert found.system == "answer"
    assert not found.record.contamination.is_known


def test_a_function_gives_each_field(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {
        "notification": {"app": "Mail", "title": "t", "body": "b"},
        "classification": {"folder": "Work", "priority": 1},
    }
    path.write_text(json.dumps(row), encoding="utf-8")

    def whole(inputs: dict[str, str]) -> dict[str, object]:
        assert inputs == {"app_name": "Mail", "title": "t", "body": "b"}
        return {"folder": "Work", "priority": True}

    found = evalkit.evaluate(whole, path, task="notifications-3level")
    assert found.accuracy("folder").estimate.value == 1.0
    assert found.accuracy("priority").estimate.value == 0.0
    with pytest.raises(UserError, match="has the fields folder, priority"):
        evalkit.evaluate(lambda inputs: "Work", path, task="notifications-3level")


def test_a_systems_run_is_written_and_read_back(tmp_path: Path, rows: Path) -> None:
    system = tmp_path / "words"
    system.mkdir()
    (system / "system.toml").write_text('task = "intents"\nformat = "labels"\nengine = "keyword"\n')
    runs = tmp_path / "runs"
    found = evalkit.evaluate(system, rows, runs=runs)
    (folder,) = runs.glob("[!.]*-words")
    for name in (folder, folder.name[:15]):
        again = evalkit.read_run(name, runs=runs)
        assert again.rows == found.rows
    assert again.accuracy("intents").estimate == found.accuracy("intents").estimate
    assert again.record.system == "words"


def test_what_lacks_a_task_or_has_two_is_refused(rows: Path) -> None:
    with pytest.raises(UserError, match="task="):
        evalkit.evaluate(lambda text: "none", rows)
    with pytest.raises(UserError, match="a task of its own"):
        evalkit.evaluate("mine", rows, task="intents")


def test_the_namespace_is_lazy_and_whole() -> None:
    code = (
        "import sys; before = set(sys.modules); import evalkit; "
        "print(sorted(m for m in set(sys.modules) - before if not m.startswith('_')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    # Nothing else is imported, so it takes as long as reading one small file.
    assert done.stdout.strip() == "['evalkit']"
    for name in evalkit.__all__:
        assert getattr(evalkit, name).__doc__ or name.isupper()
        assert name in dir(evalkit)
    with pytest.raises(AttributeError, match="no attribute 'lod'"):
        evalkit.lod  # type: ignore[attr-defined]  # noqa: B018
