"""`evalkit predict` and `evalkit prompt`, as their user meets them."""

from __future__ import annotations

import csv
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from rich.console import Console

from evalkit.cli import main
from evalkit.data import load_dataset
from evalkit.data.spreadsheets import original
from evalkit.data.tables import write_records
from evalkit.engines.building import EngineOptions
from evalkit.runs.runner import Runner
from evalkit.systems import load_system
from tiny_models import save_base

ROOT = Path(__file__).parents[1]
KEYWORDS = 'task = "intents"\nformat = "labels"\nengine = "keyword"\n'
TEXTS = ["Refund my order, please", "a joke, 很好", "reset the password"]
SAID = [["order_management", "payment"], ["none"], ["user_auth"]]

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def evalkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command line in a folder with a shelf of one system, `words`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_SHELF", raising=False)
    (tmp_path / "adapters" / "words").mkdir(parents=True)
    (tmp_path / "adapters" / "words" / "system.toml").write_text(KEYWORDS)

    def run(*arguments: str, stdin: bytes = b"") -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evalkit", *arguments])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        with pytest.raises(SystemExit) as stop:
            main()
        return int(str(stop.value)), *capsys.readouterr()

    return run


def read_rows(path: Path) -> list[dict[str, Any]]:
    """The rows of an output, as JSON lines have them."""
    if path.suffix == ".jsonl":
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    if path.suffix == ".csv":
        table: list[dict[str, Any]] = list(csv.DictReader(path.open(encoding="utf-8", newline="")))
        for row in table:
            row["values.intents"] = row["values.intents"].split(", ")
    else:
        table = pq.read_table(path).to_pylist()
    return [
        {
            "id": row["id"],
            "inputs": {"prompt": original(row["inputs.prompt"])},
            "values": {"intents": row["values.intents"]},
        }
        for row in table
    ]


def test_empty_input_exits_4_and_says_what_to_give(evalkit: Run) -> None:
    code, out, err = evalkit("predict", "words", stdin=b"\n")
    assert (code, out) == (4, "")
    assert "Standard input holds no text. Give a text, --in FILE" in err


@pytest.mark.parametrize(
    "arguments", [("words", ""), ("",), ("words", TEXTS[0], "  "), ("words", "--input", "prompt=")]
)
def test_an_empty_text_is_not_classified(evalkit: Run, arguments: tuple[str, ...]) -> None:
    code, out, err = evalkit("predict", *arguments)
    assert (code, out) == (4, "")
    assert "The text to classify is empty." in err


def test_a_text_is_answered_for_people(evalkit: Run) -> None:
    code, out, _ = evalkit("predict", "words", TEXTS[0])
    assert (code, out) == (0, "intents: order_management, payment\n")


def test_the_only_system_need_not_be_named(evalkit: Run) -> None:
    named = evalkit("predict", "words", *TEXTS, "--json")
    assert evalkit("predict", *TEXTS, "--json") == named
    assert evalkit("predict", "--input", f"prompt={TEXTS[0]}")[0] == 0
    code, _, err = evalkit("prompt", TEXTS[0])
    assert (code, "words is not a language model" in err) == (4, True)


def test_lines_of_standard_input_become_json_lines(evalkit: Run) -> None:
    code, out, _ = evalkit("predict", "words", stdin="\n".join([*TEXTS, ""]).encode())
    assert code == 0
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["inputs"]["prompt"] for row in rows] == TEXTS
    assert [row["values"]["intents"] for row in rows] == SAID
    assert rows[0] == {
        "id": "row-000001",
        "inputs": {"prompt": TEXTS[0]},
        "values": {"intents": SAID[0]},
        "confidences": {},
        "margin": None,
        "problem": "",
        "text": rows[0]["text"],
    }


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test_rows_go_from_file_to_file(evalkit: Run, tmp_path: Path, ending: str) -> None:
    """Without labels; out again in each kind, and what is written can be read in once more."""
    lines = [json.dumps({"id": f"r{n}", "prompt": text}) for n, text in enumerate(TEXTS)]
    (tmp_path / "in.jsonl").write_text("\n".join(lines), encoding="utf-8")
    out = f"out.{ending}"
    code, _, err = evalkit("predict", "words", "--in", "in.jsonl", "--out", out)
    assert code == 0, err
    rows = read_rows(tmp_path / out)
    assert [row["id"] for row in rows] == ["r0", "r1", "r2"]
    assert [row["inputs"]["prompt"] for row in rows] == TEXTS
    assert [row["values"]["intents"] for row in rows] == SAID
    code, _, err = evalkit("predict", "words", "--in", "in.jsonl", "--out", out)
    assert code == 4
    assert "--force" in err
    assert evalkit("predict", "words", "--in", "in.jsonl", "--out", out, "--force")[0] == 0


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_tables_are_read(evalkit: Run, tmp_path: Path, ending: str) -> None:
    import pyarrow as pa

    table = pa.table({"id": ["a", "b", "c"], "prompt": TEXTS})
    path = tmp_path / f"in.{ending}"
    if ending == "csv":
        rows = [["id", "prompt"], *zip("abc", TEXTS, strict=True)]
        with path.open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows(rows)
    else:
        pq.write_table(table, path)
    code, out, err = evalkit("predict", "words", "--in", path.name)
    assert code == 0, err
    assert [json.loads(line)["values"]["intents"] for line in out.splitlines()] == SAID


def test_a_thousand_rows_have_the_gates_answers_in_every_kind_of_file(
    evalkit: Run, tmp_path: Path
) -> None:
    lines = (ROOT / "fixtures/intents/test.jsonl").read_text(encoding="utf-8").splitlines()
    given = [json.loads(lines[n % len(lines)]) for n in range(1000)]
    odd = ("", "=1+1, ", '"quoted"\n', "很好 😀 ", "  ")
    rows = [
        {"id": f"r{n}", "prompt": f"{odd[n % 5]}{row['prompt']} {n}", "output": row["output"]}
        for n, row in enumerate(given)
    ]
    write_records(tmp_path / "rows.jsonl", rows, ending=".jsonl")
    system = load_system(ROOT / "adapters" / "tfidf-intents")
    runner = Runner(tmp_path / "runs", EngineOptions(), Console(quiet=True))
    judged, _ = runner.evaluate(system, load_dataset("rows.jsonl", system.task))
    right = [(row.example.id, list(row.predicted("intents"))) for row in judged.rows]  # type: ignore[arg-type]
    assert len(right) == 1000
    for ending in ("jsonl", "csv", "parquet"):
        asked, out = (tmp_path / f"{name}.{ending}" for name in ("in", "out"))
        questions = [{"id": r["id"], "prompt": r["prompt"]} for r in rows]
        if ending == "csv":  # of somebody else: `=1+1` stands there as it is
            with asked.open("w", encoding="utf-8", newline="") as file:
                writer = csv.DictWriter(file, questions[0])
                writer.writeheader()
                writer.writerows(questions)
        else:
            write_records(asked, questions, ending=f".{ending}")
        code, _, err = evalkit("predict", str(system.folder), "--in", str(asked), "--out", str(out))
        assert code == 0, err
        said = read_rows(out)
        assert [(row["id"], row["values"]["intents"]) for row in said] == right
        assert [row["inputs"]["prompt"] for row in said] == [row["prompt"] for row in rows]


def test_json_lines_come_from_standard_input(evalkit: Run) -> None:
    lines = b'{"id": "x", "prompt": "reset the password"}\n'
    code, out, _ = evalkit("predict", "words", "--in", "-", stdin=lines)
    assert code == 0
    assert json.loads(out)["id"] == "x"


def test_a_bad_row_stops_or_is_named(evalkit: Run, tmp_path: Path) -> None:
    (tmp_path / "in.jsonl").write_text('{"prompt": "hello"}\n{"promt": "hello"}\n')
    code, out, err = evalkit("predict", "words", "--in", "in.jsonl")
    assert (code, out) == (4, "")
    assert "in.jsonl:2: " in err
    assert "Did you mean 'prompt'" in err
    code, out, err = evalkit("predict", "words", "--in", "in.jsonl", "--on-bad-row", "skip")
    assert (code, len(out.splitlines())) == (0, 1)
    assert "left out: in.jsonl:2" in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["predict", "wrods", "x"], "Did you mean 'words'?"),
        (["predict", "wrods"], "Did you mean 'words'?"),
        (["predict", "words", "x", "--in", "y.jsonl"], "only one of them"),
        (["predict", "words", "x", "--out", "y.xls"], "end its name"),
        (["predict", "words", "--input", "prompt"], "NAME=TEXT"),
        (["predict", "words", "--input", "text=x"], "has no input 'text'"),
        (["predict", "words", "x", "--device", "tpu"], "--device is auto, cpu, cuda or mps"),
        (["predict", "words", "--in", "no.jsonl"], "There is no file no.jsonl"),
        (["prompt", "words", "x"], "is not a language model"),
        (["prompt", "words"], "Give a text"),
    ],
)
def test_a_users_mistake_exits_4(evalkit: Run, arguments: list[str], message: str) -> None:
    code, out, err = evalkit(*arguments)
    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err


def test_a_prompt_is_shown_with_its_tokens(evalkit: Run, tmp_path: Path) -> None:
    system = tmp_path / "adapters" / "tiny"
    save_base(system / "base")
    (system / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nbase = "base"\nadapter = false\n'
    )
    code, out, err = evalkit("prompt", "tiny", "Where is it? \x1b[2J")
    assert code == 0, err
    assert "Request: Where is it? \\x1b[2J" in out
    told = json.loads(evalkit("prompt", "tiny", "Where is it?", "--json")[1])
    assert "".join(token["text"] for token in told["tokens"]) == told["text"]
    assert told["text"].count("Where is it?") == 1
