"""What is predicted is what the gate judges, and a prompt is shown as it is read."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from rich.console import Console

from evalkit.classifier import Classification, load, read_inputs, render_prompt
from evalkit.data import load_dataset
from evalkit.engines.building import EngineOptions
from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow, Evaluation
from evalkit.records import Completion, FinishReason, Missing, OutOfEnum
from evalkit.runs.runner import Runner
from evalkit.systems import load_system
from evalkit.tasks import load_task
from evalkit.weights import sources
from tiny_models import save_base

pytestmark = pytest.mark.usefixtures("few_tokens")

ROOT = Path(__file__).parents[1]
INTENTS = ROOT / "fixtures" / "intents" / "test.jsonl"
TINY = 'task = "intents"\nformat = "labels"\nbase = "base"\nadapter = false\nnormalize = "nfkc"\n'


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A language model that knows nothing, on inputs in NFKC."""
    folder = tmp_path_factory.mktemp("adapters") / "tiny"
    save_base(folder / "base")
    (folder / "system.toml").write_text(TINY)
    return folder


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """Rows of which some are alike and one is in full-width letters."""
    lines = INTENTS.read_text(encoding="utf-8").splitlines()[:12]
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in "Where is my order?")
    lines += [
        json.dumps({"id": name, "prompt": text, "output": ["order_management"]})
        for name, text in (("wide", wide), ("plain", "Where is my order?"), ("again", "Hello"))
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def judged(system: str | Path, source: Path, runs: Path) -> Evaluation:
    """A run as the gate makes it."""
    found = load_system(system, ROOT / "adapters")
    options = EngineOptions(device="cpu", precision="fp32")
    runner = Runner(runs, options, Console(quiet=True))
    evaluation, _ = runner.evaluate(found, load_dataset(str(source), found.task))
    return evaluation


def as_judged(row: EvaluatedRow, task_fields: list[str]) -> dict[str, object]:
    said = {name: row.predicted(name) for name in task_fields}
    return {
        name: None if isinstance(value, Missing | OutOfEnum) else value
        for name, value in said.items()
    }


def check_same(said: list[Classification], evaluation: Evaluation) -> None:
    assert len(said) == len(evaluation.rows) > 0
    for one, row in zip(said, evaluation.rows, strict=True):
        assert one.text == row.completion.text
        assert one.values == as_judged(row, [*evaluation.task.fields])
        assert one.confidences == pytest.approx(dict(row.completion.confidences), abs=1e-5)
        assert one.margin == pytest.approx(row.completion.margin, abs=1e-4)
        assert bool(one.problem) == (None in one.values.values())


@pytest.mark.parametrize("name", ["keyword-intents", "tfidf-intents", "tiny"])
def test_predictions_are_the_gates_answers(
    name: str, tiny: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_SHELF", str(ROOT / "adapters"))
    monkeypatch.setattr("evalkit.classifier.CHUNK", 7)  # other rows beside each than in the gate
    system = tiny if name == "tiny" else name
    evaluation = judged(system, rows, tmp_path / "runs")
    classifier = load(system, device="cpu", precision="fp32")
    texts = [row.example.inputs["prompt"] for row in evaluation.rows]
    check_same(classifier.predict(texts), evaluation)
    # The same by name, and asked again in another order.
    named = classifier.predict([{"prompt": text} for text in reversed(texts)])
    check_same(named[::-1], evaluation)


def test_several_inputs_and_fields(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("EVALKIT_SHELF", str(ROOT / "adapters"))
    source = tmp_path / "rows.jsonl"
    lines = (ROOT / "fixtures/notifications/test.jsonl").read_text(encoding="utf-8").splitlines()
    source.write_text("\n".join(lines[:30]), encoding="utf-8")
    evaluation = judged("tfidf-3level", source, tmp_path / "runs")
    said = load("tfidf-3level").predict(row.example.inputs for row in evaluation.rows)
    check_same(said, evaluation)
    assert all(set(one.confidences) == {"folder", "priority"} for one in said)


def test_a_prompt_is_shown_as_the_model_reads_it(tiny: Path, rows: Path, tmp_path: Path) -> None:
    evaluation = judged(tiny, rows, tmp_path / "runs")
    system = load_system(tiny)
    wide, plain = (row for row in evaluation.rows if row.example.id in ("wide", "plain"))
    for row in (wide, plain):
        shown = render_prompt(system, row.example.inputs)
        assert len(shown.token_ids) == len(shown.tokens) == row.completion.prompt_tokens
        assert "".join(shown.tokens) == shown.text
        assert "Request: Where is my order?" in shown.text
        assert shown.text.startswith("<|im_start|>system\n")


def test_what_reads_no_prompt_says_so() -> None:
    system = load_system("keyword-intents", ROOT / "adapters")
    with pytest.raises(UserError, match="is not a language model"):
        render_prompt(system, {"prompt": "x"})


def test_a_prompt_without_the_weights_is_its_messages(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources.Hub, "locate", lambda _: None)
    asked = {"app_name": "Slack", "title": "", "body": "x"}
    shown = render_prompt(load_system("qwen3-3level-seed", ROOT / "adapters"), asked)
    system, user = json.loads(shown.text)
    assert system["content"].endswith('"priority": <1-3>}\n/no_think')
    assert user["content"] == "App: Slack\nTitle: \nBody: x"
    assert shown.token_ids == ()
    with pytest.raises(UserError, match="evalkit fetch"):
        render_prompt(load_system("functiongemma-3level", ROOT / "adapters"), asked)


def test_a_prompt_for_a_server_is_its_messages(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "endpoint"\n'
        '[endpoint]\nurl = "http://127.0.0.1:9/v1"\nmodel = "m"\n'
    )
    shown = render_prompt(load_system(tmp_path), {"prompt": "Where is it?"})
    system, user = json.loads(shown.text)
    assert (system["role"], user) == (
        "system",
        {"role": "user", "content": "Request: Where is it?"},
    )
    assert shown.token_ids == ()


def test_answers_that_cannot_be_read_name_their_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVALKIT_SHELF", str(ROOT / "adapters"))
    texts = ["", '{"folder": "Spam", "priority": 2}', '{"priority": 3}']

    class Scripted:
        def complete(self, requests):  # type: ignore[no-untyped-def]
            for request in requests:
                yield request.id, Completion(texts[int(request.id)], FinishReason.STOP)

    classifier = load("tfidf-3level")
    classifier._engine = Scripted()  # type: ignore[assignment]
    said = classifier.predict([{"app_name": "a", "title": "b", "body": "c"}] * 3)
    assert [dict(one.values) for one in said] == [
        {"folder": None, "priority": None},
        {"folder": None, "priority": 2},
        {"folder": None, "priority": 3},
    ]
    assert [one.problem for one in said] == [
        "unreadable: empty",
        "folder: 'Spam' is not one of the task's values",
        "folder is missing",
    ]


def test_recorded_answers_cannot_be_asked(tmp_path: Path) -> None:
    (tmp_path / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "replay"\nanswers = "a.jsonl"\n'
    )
    (tmp_path / "a.jsonl").write_text('{"id": "0", "text": "payment"}\n')
    with pytest.raises(UserError, match="only repeats recorded answers"):
        load(tmp_path).predict(["x"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("a text", "has the inputs app_name, title, body"),
        ({"app_name": "a", "tilte": "b", "body": "c"}, "Did you mean 'title'"),
        ({"app_name": "a", "title": "b"}, "also needs the input body"),
    ],
)
def test_inputs_that_are_not_the_tasks_are_refused(given: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        read_inputs(load_task("notifications-3level"), given)  # type: ignore[arg-type]
