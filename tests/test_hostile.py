"""Rows, labels, names and server replies made to do harm: an answer or one message, and no more.

`python benchmarks/hostile.py` draws 10,000 of them.
"""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hostile_texts import TEXT, VALUE, check_message, hostile
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from evalkit.data import load_dataset
from evalkit.engines.endpoint import read_completion
from evalkit.engines.server import Refusal, Server, Trouble
from evalkit.errors import UserError
from evalkit.evaluation.evaluation import build_requests
from evalkit.formats import FORMATS, get_format
from evalkit.records import Completion, Example, Prediction, Unanswered
from evalkit.tasks import Task, load_task

TASK = load_task("notifications-3level")
JSON = get_format("json", TASK)
LABELS = {"folder": "Work", "priority": 1}
(REQUEST,) = build_requests(TASK, JSON, [Example("r", dict.fromkeys(TASK.inputs, "x"), LABELS)])


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
