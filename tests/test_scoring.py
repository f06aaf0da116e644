"""evalkit from Python: `load`, `evaluate` and `read_run`."""

from __future__ import annotations

import json
import re
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


def test_the_reference_shows_all_that_is_public() -> None:
    page = Path(__file__).parents[1] / "docs" / "reference.md"
    shown = re.findall(r"^::: evalkit\.(\w+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(shown) == sorted(evalkit.__all__)
    source = Path(evalkit.__file__).read_text(encoding="utf-8")
    assert sorted(re.findall(r"import (\w+) as \1$", source, re.MULTILINE)) == sorted(shown)


@pytest.fixture
def said(rows: Path) -> evalkit.Evaluation:
    answers = {"1": "payment", "2": ["payment"], "3": None, "4": ["stock"]}
    by_prompt = {prompt: answers[i] for i, prompt, _ in ROWS}
    return evalkit.evaluate(by_prompt.__getitem__, rows, task="intents")


def test_some_of_the_rows(said: evalkit.Evaluation) -> None:
    payments = said.where(intents="payment")
    assert [row.example.id for row in payments.rows] == ["1", "2"]
    assert payments.accuracy("intents").estimate.value == 0.5
    assert [row.example.id for row in payments.where(lambda row: row.is_right("intents")).rows] == [
        "1"
    ]
    assert said.where(lambda row: row.is_unreadable).parse_failure_rate().estimate.value == 1.0
    with pytest.raises(UserError, match="Did you mean 'payment'"):
        said.where(intents="paymnt")
    with pytest.raises(UserError, match="no field"):
        said.where(priority=1)


def test_a_metric_by_its_name_is_that_of_the_method(said: evalkit.Evaluation) -> None:
    by_name = said.measure("recall", "intents", "payment")
    assert by_name.estimate == said.recall("intents", "payment").estimate
    with pytest.raises(UserError, match="Did you mean 'macro_f1'"):
        said.measure("macro_f", "intents")


def test_a_metric_of_ones_own(said: evalkit.Evaluation) -> None:
    @evalkit.metric("has a p")
    def has_a_p(row: evalkit.EvaluatedRow, field: str) -> bool | None:
        return None if row.is_unreadable else "p" in row.completion.text

    found = said.measure(has_a_p(said.task, "intents"))
    assert (found.estimate.successes, found.estimate.n) == (2, 3)
    assert found.metric is not None
    assert found.metric.identity == ("has_a_p", "intents", None)


def test_a_table_of_rows(said: evalkit.Evaluation) -> None:
    frame = said.to_pandas().set_index("id")
    assert frame.loc["2", "labels.intents"] == ("payment", "user_auth")
    assert list(frame["is_right.intents"]) == [True, False, False, False]
    assert list(frame["values.intents"])[2:] == [None, None]
    assert list(frame["problem"])[2:] == [
        "unreadable: empty",
        "intents: \"['stock']\" is not one of the task's values",
    ]


def test_an_evaluation_says_what_it_is(said: evalkit.Evaluation) -> None:
    text = "<Evaluation of __getitem__ on 4 rows: intents accuracy 25.0% (4.6-69.9)>"
    assert repr(said) == text
    assert "<td>intents accuracy</td><td>25.0%</td>" in said._repr_html_()
    assert "no number" in repr(said.where(lambda row: False))


def test_a_number_is_held_against_a_criterion(said: evalkit.Evaluation, tmp_path: Path) -> None:
    gates = tmp_path / "gates.toml"
    gates.write_text('[mine]\nmin_value = 0.5\nmin_cases = 1\nwhy = "x"\n')
    verdict = evalkit.gate("mine", said.accuracy("intents"), gates)
    assert (verdict.outcome, verdict.label) == (evalkit.Outcome.FAIL, "mine")
    with pytest.raises(UserError, match="There is no gate 'mine2'"):
        evalkit.gate("mine2", said.accuracy("intents"), gates)


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
