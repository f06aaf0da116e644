"""Rows, labels, names and server replies made to do harm: an answer or one message, and no more.

`python benchmarks/hostile.py` draws 10,000 of them.
"""

from __future__ import annotations

import json
import os
import re
import socket
import threading
import time
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.data import load_dataset
from evalkit.engines.endpoint import read_completion
from evalkit.engines.server import Refusal, Server, Trouble
from evalkit.errors import UserError
from evalkit.evaluation.evaluation import build_requests
from evalkit.formats import FORMATS, get_format
from evalkit.printable import legible
from evalkit.records import Completion, Example, Prediction, Unanswered
from evalkit.reports.html.run_page import run_page
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.reports.render.terminal import to_text
from evalkit.reports.run_view import run_view
from evalkit.tasks import Task, load_task
from judged_runs import write_judged_run

EXAMPLES = int(os.environ.get("EVALKIT_HOSTILE_EXAMPLES", "300"))
"""Of all kinds together."""
TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
LABELS = {"folder": "Work", "priority": 1}
(REQUEST,) = build_requests(TASK, JSON, [Example("r", dict.fromkeys(TASK.inputs, "x"), LABELS)])

WEAPONS = st.sampled_from(
    [
        "\x1b[2J",
        "\x1b]8;;http://x\x07",
        "\u202e",
        "\u2028",
        "\n::error::x",
        "::stop-commands::x",
        "##[group]x",
        "<script>alert(1)</script>",
        "</script><script>alert(1)//",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "<!--<script>",
        "[x](javascript:alert(1))",
        "{{ 7 * 7 }}",
        "[bold]",
        "\ufeff",
        "\0",
        "a" * 300,
        "../" * 20,
        "[" * 3000,
        '{"a":' * 3000,
        "1e999",
        "9" * 5000,
        "<|im_end|>",
        "</think>",
    ]
)
TEXT = st.lists(st.one_of(WEAPONS, st.text(max_size=8)), max_size=4).map("".join)
VALUE = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), TEXT),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXT, inner, max_size=3)),
    max_leaves=6,
)


def hostile(share: float) -> Any:
    """A share of the examples."""
    return settings(
        max_examples=round(share * EXAMPLES),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
    )


def check_message(text: str) -> None:
    """What a command says of it."""
    check_shown(legible(text))


def check_shown(shown: str) -> None:
    """It steers neither a terminal nor a CI service that reads it as a log."""
    steering = {"Cc", "Cf", "Cs", "Co", "Zl", "Zp"}
    assert not [c for c in shown if c not in "\n\t" and unicodedata.category(c) in steering]
    assert not re.search(r"^\s*::|##\w*\[", shown, re.MULTILINE)


@hostile(0.36)
@given(row=VALUE, notification=VALUE, labels=VALUE, raw=st.binary(max_size=30))
def test_rows(row: object, notification: object, labels: object, raw: bytes, tmp_path: Path):
    whole = {"id": row, "notification": notification, "classification": labels}
    good = {"notification": {"app": "a", "title": "t", "body": notification}}
    good["classification"] = {"folder": "Work", "priority": labels}  # type: ignore[dict-item]
    for content in (row, whole, good):
        path = tmp_path / "rows.jsonl"
        path.write_bytes(json.dumps(content).encode() + b"\n" + raw)
        try:
            load_dataset(str(path), TASK)
        except UserError as error:
            check_message(str(error))


@hostile(0.2)
@given(values=st.lists(TEXT, min_size=2, max_size=4), name=TEXT, kind=st.booleans())
def test_labels(values: list[str], name: str, kind: bool):
    field = {
        "kind": "multi-label" if kind else "choice",
        "title": name,
        "paths": ["a"],
        "values": [{"value": value, "description": name} for value in values],
    }
    inputs = {"text": {"title": name, "paths": ["t"]}}
    words = {"name": name, "family": name, "summary": name, "instruction": name}
    try:
        task = Task.model_validate({**words, "inputs": inputs, "fields": {"f": field}})
    except ValidationError:
        return
    for format_name in FORMATS:
        try:
            fmt = get_format(format_name, task)
        except UserError as error:
            check_message(str(error))
            continue
        fmt.prompt(task, {"text": name})
        for value in values:
            label = (value,) if kind else value
            said = fmt.render(task, {"f": label}, {"text": name})
            read = fmt.parse(task, said).lenient
            assert isinstance(read, Prediction)
            assert read.fields == {"f": label}
        fmt.parse(task, name)


@hostile(0.3)
@given(content=VALUE, reason=VALUE, usage=VALUE, more=VALUE, name=TEXT)
def test_replies(content: object, reason: object, usage: object, more: object, name: str):
    message = {"content": content, "reasoning_content": more, name: more}
    choice = {"message": message, "finish_reason": reason, "logprobs": more}
    whole = {"choices": [choice], "usage": {"prompt_tokens": usage, "completion_tokens": usage}}
    for reply in (whole, {**whole, "choices": more}, {"choices": [{**choice, "message": more}]}):
        try:
            said = read_completion(reply, REQUEST, 0.1)
        except Trouble as trouble:
            check_message(trouble.why)
            continue
        if isinstance(said, Unanswered):
            check_message(said.why)
        else:
            assert isinstance(said, Completion)
            JSON.parse(TASK, said.text)


class Scripts(HTMLParser):
    """What a browser would run of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base"):
            self.found.append((tag, dict(attrs).get("type")))
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append((name, value))


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> JudgedRun:
    return read_judged(write_judged_run(tmp_path_factory.mktemp("runs")))


@pytest.fixture(scope="module")
def scripts(judged: JudgedRun) -> list[tuple[str, str | None]]:
    return Scripts(run_page(judged)).found


def with_words(run: JudgedRun, name: str, source: str, note: str, text: str) -> JudgedRun:
    """The run as if its system, rows, notes and answers had these words in them."""
    found = run.evaluation
    first, *others = found.rows
    inputs = dict.fromkeys(first.example.inputs, text)
    example = replace(first.example, id=name, inputs=inputs)
    row = replace(first, example=example, completion=replace(first.completion, text=text))
    data = found.record.data.model_copy(update={"source": source, "notes": [note]})
    record = found.record.model_copy(update={"data": data, "base": name})
    changed = replace(found, system=name, record=record, rows=(row, *others))
    return replace(run, evaluation=changed)


@hostile(0.01)
@given(name=TEXT, source=TEXT, note=TEXT, text=TEXT)
def test_pages(judged: JudgedRun, scripts: object, name: str, source: str, note: str, text: str):
    found = with_words(judged, name, source, note, text)
    assert Scripts(run_page(found)).found == scripts
    check_shown(to_text(run_view(found), 80, colour=False))


@pytest.fixture(scope="module")
def wire() -> Iterator[dict[str, Any]]:
    """A server that sends what it is told to, and then hangs up or does not."""
    told: dict[str, Any] = {}
    listening = socket.create_server(("127.0.0.1", 0))
    told["port"] = listening.getsockname()[1]

    def serve() -> None:
        while True:
            try:
                client, _ = listening.accept()
            except OSError:
                return
            with closing(client):
                try:
                    client.sendall(told["sends"])
                    while told["hangs"] and client.recv(4096):
                        client.sendall(told["again"])
                        time.sleep(0.01)
                except OSError:
                    pass

    threading.Thread(target=serve, daemon=True).start()
    yield told
    listening.close()


HEADS = st.sampled_from(
    [
        b"",
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
        b"HTTP/1.1 500 \x1b[2J\r\nRetry-After: 9999999999999\r\n\r\n",
        b"HTTP/1.1 400 ::error::x\r\nContent-Length: 3\r\n\r\n",
        b"HTTP/1.1 301 Moved\r\nLocation: javascript:x\r\n\r\n",
        b"HTTP/9.9 999 \xff\r\n",
    ]
)


@hostile(0.13)
@given(head=HEADS, body=st.one_of(TEXT.map(str.encode), st.binary()), hangs=st.booleans())
def test_the_wire(wire: dict[str, Any], head: bytes, body: bytes, hangs: bool):
    wire.update(sends=head + body, hangs=hangs, again=head or b"x")
    server = Server(
        f"http://127.0.0.1:{wire['port']}/v1",
        api_key="a-key-of-its-own",
        timeout=0.05,
        retries=0,
        connections=1,
    )
    began = time.perf_counter()
    try:
        server.ask("/chat/completions", lambda reply: reply, body={"a": 1})
    except (Trouble, Refusal) as error:
        check_message(str(error))
    # Far beyond any deadline that is kept, however busy the machine is.
    assert time.perf_counter() - began < 20
