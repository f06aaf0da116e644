from __future__ import annotations

import json
from pathlib import Path

import pytest

from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import build_engine
from evalkit.engines.replay import ReplayEngine, load_answers
from evalkit.errors import UserError
from evalkit.records import Completion, FinishReason, Prompt, Request
from evalkit.systems import load_system

PROMPT = Prompt("Sort it.", ())


def requests(*names: str) -> list[Request]:
    return [Request(name, PROMPT, {}, "") for name in names]


def test_answers_are_repeated_under_their_ids(tmp_path: Path):
    lines = [{"id": "b", "text": "два\n"}, {"id": "a", "text": ""}]
    path = tmp_path / "answers.jsonl"
    path.write_text("\n\n".join(json.dumps(line) for line in lines) + "\n")
    engine = ReplayEngine(load_answers(path))
    assert list(engine.complete(requests("a", "b"))) == [
        ("a", Completion("", FinishReason.STOP)),
        ("b", Completion("два\n", FinishReason.STOP)),
    ]


def test_a_gap_is_not_a_wrong_answer():
    with pytest.raises(UserError, match="2 of 3 examples have no recorded answer, the first 'b'"):
        list(ReplayEngine({"a": ""}).complete(requests("a", "b", "c")))


@pytest.mark.parametrize(
    "line",
    [
        "nonsense",
        "[]",
        '"a"',
        "null",
        '{"id": "b"}',
        '{"id": 3, "text": "x"}',
        '{"id": "b", "text": null}',
        '{"id": "a", "text": "again"}',
        "[" * 100_000,
    ],
)
def test_a_bad_line_is_named(line: str, tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n' + line + "\n")
    with pytest.raises(UserError) as caught:
        load_answers(path)
    assert str(caught.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize("content", [None, b"\xff\xfe"])
def test_a_file_that_cannot_be_read_is_a_user_error(content: bytes | None, tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load_answers(path)


def test_text_may_hold_any_line_separator(tmp_path: Path):
    text = "one\u2028two\x85three\x0bfour"
    path = tmp_path / "answers.jsonl"
    path.write_text(json.dumps({"id": "a", "text": text}, ensure_ascii=False), encoding="utf-8")
    assert load_answers(path) == {"a": text}


def test_a_byte_order_mark_is_no_part_of_the_first_line(tmp_path: Path):
    path = tmp_path / "answers.jsonl"
    path.write_text('{"id": "a", "text": "x"}\n', encoding="utf-8-sig")
    assert load_answers(path) == {"a": "x"}


def test_the_record_names_the_answers():
    one, same, other = ({"a": "x", "b": "y"}, {"b": "y", "a": "x"}, {"a": "x", "b": "z"})
    described = [ReplayEngine(answers).describe() for answers in (one, same, other)]
    assert described[0] == described[1] != described[2]
    assert described[0]["engine"] == "replay"
    assert len(ReplayEngine(one).prompt_sha256(PROMPT)) == 64


def test_a_system_of_recorded_answers(tmp_path: Path):
    (tmp_path / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "replay"\nanswers = "answers.jsonl"\n'
    )
    (tmp_path / "answers.jsonl").write_text('{"id": "a", "text": "none"}\n')
    engine = build_engine(load_system(tmp_path), EngineOptions())
    assert list(engine.complete(requests("a"))) == [("a", Completion("none", FinishReason.STOP))]
