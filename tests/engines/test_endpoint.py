"""The endpoint engine against a server that misbehaves on purpose."""

from __future__ import annotations

import hashlib
import json
import math
import sys
import threading
import time
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from evalkit.engines.building import EngineOptions
from evalkit.engines.endpoint import (
    GIVE_UP_AFTER,
    SLACK_TOKENS,
    EndpointEngine,
    build_endpoint,
    read_completion,
)
from evalkit.engines.places import Endpoint
from evalkit.engines.pool import build_engine
from evalkit.errors import UserError
from evalkit.evaluation.evaluation import build_requests
from evalkit.formats import get_format
from evalkit.records import (
    Answer,
    Completion,
    Example,
    FinishReason,
    Function,
    Prompt,
    Request,
    Span,
    Unanswered,
)
from evalkit.runs.rows import completion_from_json, completion_to_json
from evalkit.systems import load_system
from evalkit.tasks import load_task
from misbehaving_server import Fake, Handler, serving
from ports import reserved_port

PATIENCE = 60.0
"""More seconds than any of these tests takes, and fewer than what they rule out."""


def request(name: str, text: str = "The build is red.", **more: Any) -> Request:
    spans = (Span("Body: ", trusted=True), Span(text, trusted=False))
    return Request(name, Prompt("Sort it.", spans), {}, '{"folder": "Work"}', **more)


def requests(count: int) -> list[Request]:
    return [request(f"r{n}", f"text {n}") for n in range(count)]


def engine(server: Fake, **given: Any) -> EndpointEngine:
    settings = {"timeout": PATIENCE, "retries": 3, "concurrency": 4, **given}
    return EndpointEngine(Endpoint(url=server.url, model="tiny", **settings), pause=0.01)


def answers(server: Fake, asked: list[Request], **given: Any) -> dict[str, Any]:
    return dict(engine(server, **given).complete(asked))


def echo(handler: Handler, number: int) -> None:
    handler.say(handler.body["messages"][-1]["content"])


# In good order


def test_every_request_is_answered_under_its_own_id_however_late():
    def behave(handler: Handler, number: int) -> None:
        time.sleep(0.002 * (7 - number % 8))  # out of order
        echo(handler, number)

    started = time.monotonic()
    with serving(behave) as server:
        found = list(engine(server).complete(requests(40)))
    assert sorted(name for name, _ in found) == sorted(f"r{n}" for n in range(40))
    assert all(said.text == f"Body: text {name[1:]}" for name, said in found)
    assert all(said.finish_reason is FinishReason.STOP for _, said in found)
    took = time.monotonic() - started
    assert all(said.prompt_tokens == 7 and 0 < said.seconds < took for _, said in found)


def test_what_is_asked():
    with serving(echo) as server:
        answers(server, [request("a", "飞书")], body={"top_k": 1})
        (body,) = server.bodies
    assert body == {
        "model": "tiny",
        "messages": [
            {"role": "system", "content": "Sort it."},
            {"role": "user", "content": "Body: 飞书"},
        ],
        "temperature": 0,
        "max_tokens": len('{"folder": "Work"}') + SLACK_TOKENS,
        "logprobs": True,
        "top_logprobs": 2,
        "top_k": 1,
    }
    assert server.paths == ["/v1/chat/completions"]


def test_without_a_system_role_and_with_a_function():
    function = Function("sort_it", "sorts", {"folder": "One of: Work, Home"})
    asked = Request("a", Prompt("Sort it.", (Span("x", trusted=False),), function), {}, "")
    with serving(echo) as server:
        answers(server, [asked], system_role=False)
    (message,) = server.bodies[0]["messages"]
    assert message["role"] == "user"
    assert message["content"].startswith("Sort it.\n\nFunction sort_it: sorts\n- folder: One of")
    assert "<start_function_call>call:sort_it{folder:<escape>...<escape>}" in message["content"]
    assert message["content"].endswith("\n\nx")


def test_several_are_asked_at_once_and_no_more_than_wanted():
    together, most, lock = 0, 0, threading.Lock()
    meeting = threading.Barrier(3, timeout=PATIENCE)

    def behave(handler: Handler, number: int) -> None:
        nonlocal together, most
        with lock:
            together += 1
            most = max(most, together)
        meeting.wait()
        with lock:
            together -= 1
        meeting.wait()
        echo(handler, number)

    with serving(behave) as server:
        answers(server, requests(24), concurrency=3)
    assert most == 3


def test_no_requests():
    with serving(echo) as server:
        assert answers(server, []) == {}
        assert server.paths == []


def test_the_key_goes_to_the_server_and_nowhere_else(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    with serving(echo) as server:
        (tmp_path / "system.toml").write_text(
            'task = "intents"\nformat = "labels"\nengine = "endpoint"\n'
            f'[endpoint]\nurl = "{server.url}/"\nmodel = "tiny"\napi_key_env = "TINY_KEY"\n'
        )
        system = load_system(tmp_path)
        monkeypatch.delenv("TINY_KEY", raising=False)
        with pytest.raises(UserError, match="TINY_KEY, named by api_key_env, is not set"):
            build_engine(system, EngineOptions())
        monkeypatch.setenv("TINY_KEY", "sesame")
        made = build_engine(system, EngineOptions())
        assert "sesame" not in json.dumps(dict(made.describe()))
        assert [said.text for _, said in made.complete(requests(1))] == ["Body: text 0"]
        assert server.keys == ["Bearer sesame"]


SECRET = 'sk-"sesame/\\0815'


@pytest.mark.parametrize("status", [200, 302, 401, 500])
@pytest.mark.parametrize("as_json", [True, False])
def test_a_key_that_comes_back_is_not_repeated(status: int, as_json: bool):
    def behave(handler: Handler, number: int) -> None:
        key = handler.headers["Authorization"].removeprefix("Bearer ")
        message = {"role": "assistant", "content": f"Work, says {key}"}
        reply = {"choices": [{"message": message, "finish_reason": "stop"}], "error": f"no {key}"}
        handler.send(status, reply if as_json else f"no {key}".encode(), Location=f"/{key}")

    with serving(behave) as server:
        place = Endpoint(url=server.url, model="m", retries=0)
        made = EndpointEngine(place, api_key=SECRET)
        try:
            said = str(list(made.complete([request("a")])))
        except UserError as error:
            said = f"{error}{error.__cause__}"
    assert "sesame" not in said
    assert "[key]" in said


@pytest.mark.parametrize("key", ["sesame\r\nX-Admin: 1", "s\u00e9same", "sesame\x00"])
def test_a_key_that_no_header_carries(key: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("os.environ", {"TINY_KEY": key})
    with pytest.raises(UserError, match="TINY_KEY holds what no header can carry") as caught:
        build_endpoint(Endpoint(url="http://c", model="m", api_key_env="TINY_KEY"))
    assert "same" not in str(caught.value)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:1080"}, "ALL_PROXY names a SOCKS proxy"),
        ({"HTTPS_PROXY": "foo://user:sesame@x"}, "HTTPS_PROXY is no address"),
        ({"https_proxy": "http://[:::"}, "https_proxy is no address"),
        ({"SSL_CERT_FILE": "/nowhere/sesame.pem"}, "SSL_CERT_FILE names certificates"),
        ({"SSL_CERT_FILE": __file__}, "SSL_CERT_FILE names certificates"),
    ],
)
def test_an_environment_that_no_request_can_be_made_in(
    variables: dict[str, str], message: str, monkeypatch: pytest.MonkeyPatch
):
    for name in ("ALL_PROXY", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "SSL_CERT_FILE"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setitem(sys.modules, "socksio", None)
    with pytest.raises(UserError, match=message) as caught:
        build_endpoint(Endpoint(url="https://no-such-host.invalid/v1", model="m"))
    assert "sesame" not in str(caught.value)
    build_endpoint(Endpoint(url="http://127.0.0.1:1/v1", model="m"))  # asks no proxy


@pytest.mark.parametrize(
    "host", ["xn--\u2028.test", "a" * 70 + ".test", "a..b", "\u0600.test", "h:99999", "[::zz]"]
)
def test_a_host_that_there_cannot_be(host: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("evalkit.engines.server._variables", lambda part: "")
    with pytest.raises((UserError, ValidationError)):
        build_endpoint(Endpoint(url=f"http://{host}/v1", model="m", retries=0)).describe()


# How an answer ends


def test_an_answer_cut_by_length():
    with serving(lambda handler, _: handler.say('{"fol', "length")) as server:
        assert answers(server, [request("a")])["a"].finish_reason is FinishReason.LENGTH


def test_an_empty_answer_is_the_models():
    with serving(lambda handler, _: handler.say(None)) as server:
        said = answers(server, [request("a")])["a"]
    assert (said.text, said.finish_reason) == ("", FinishReason.STOP)


@pytest.mark.parametrize(
    ("text", "reason", "whole"),
    [("Work", "stop", "<think>hm</think>Work"), (None, "length", "<think>hm")],
)
def test_a_thought_that_the_server_took_out_is_put_back(text: str | None, reason: str, whole: str):
    with serving(
        lambda handler, _: handler.say(text, reason, message={"reasoning_content": "hm"})
    ) as server:
        assert answers(server, [request("a")])["a"].text == whole


def test_an_answer_that_the_server_withheld_is_none():
    with serving(lambda handler, _: handler.say("", "content_filter")) as server:
        said = answers(server, [request("a")])["a"]
        assert len(server.bodies) == 1
    assert said == Unanswered("the server ended the answer with 'content_filter'")


def test_half_a_surrogate_pair_is_no_text():
    with serving(lambda handler, _: handler.send(200, RAW_SURROGATE)) as server:
        answers(server, [request("a")])["a"].text.encode()


RAW_SURROGATE = b'{"choices": [{"message": {"content": "a\\ud800b"}, "finish_reason": "stop"}]}'


def test_a_servers_own_names_and_values():
    given = {"token_limit": "max_completion_tokens", "omit": ("temperature",)}
    with serving(echo) as server:
        made = engine(server, **given, body={"max_completion_tokens": 99, "top_p": 1})
        list(made.complete([request("a")]))
        assert {"token_limit", "omit"} <= set(made.describe())
        list(engine(server, body={"temperature": 0.5}).complete([request("a")]))
        first, second = server.bodies
    assert first["max_completion_tokens"] == 99
    assert not {"temperature", "max_tokens"} & set(first)
    assert second["temperature"] == 0.5


@pytest.mark.parametrize(
    ("said", "advice"),
    [
        ("Use 'max_completion_tokens' instead.", 'token_limit = "max_completion_tokens"'),
        ("'temperature' does not support 0 with this model", 'omit = ["temperature"]'),
        ("System role not supported", "system_role = false"),
    ],
)
def test_a_refusal_names_the_option(said: str, advice: str):
    def refuse(handler: Handler, number: int) -> None:
        handler.send(400, {"error": {"message": said, "param": ["x"], "code": 10**400}})

    with serving(refuse) as server, pytest.raises(UserError) as caught:
        answers(server, [request("a")])
    assert said in str(caught.value)
    assert advice in str(caught.value)


@pytest.mark.parametrize("reason", ["eos_token", "eos", "end_turn", "EOS", None])
def test_other_names_of_the_end(reason: str | None):
    with serving(lambda handler, _: handler.say("Work", reason)) as server:
        said = answers(server, [request("a")])["a"]
    assert (said.text, said.finish_reason) == ("Work", FinishReason.STOP)


CALL = [{"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]


@pytest.mark.parametrize(
    ("message", "reason", "hint"),
    [
        ({"content": None, "reasoning_content": "Work"}, "stop", "enable_thinking = false"),
        ({"content": "\n", "reasoning": "Work"}, "end_turn", "enable_thinking = false"),
        ({"content": None, "tool_calls": CALL}, "tool_calls", "tool-call parser"),
        ({"content": "", "tool_calls": CALL}, "stop", "tool-call parser"),
        ({"content": "Work", "function_call": CALL[0]}, "stop", "tool-call parser"),
    ],
)
def test_what_the_server_took_out_of_an_answer_is_no_wrong_answer(
    message: dict[str, Any], reason: str, hint: str
):
    with serving(lambda handler, _: handler.say(None, reason, message=message)) as server:
        said = answers(server, [request("a")])["a"]
    assert isinstance(said, Unanswered)
    assert hint in said.why


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": "Work", "reasoning_content": "\n\n"}, "Work"),
        ({"content": "Work", "tool_calls": []}, "Work"),
        ({"content": None, "refusal": "I can't."}, "I can't."),
        ({"content": [{"type": "text", "text": "Wo"}, {"type": "text", "text": "rk"}]}, "Work"),
        (
            {
                "content": [
                    {"type": "thinking", "thinking": [{"type": "text", "text": "hm"}]},
                    {"type": "text", "text": "Work"},
                ]
            },
            "<think>hm</think>Work",
        ),
    ],
)
def test_an_answer_in_another_shape(message: dict[str, Any], text: str):
    with serving(lambda handler, _: handler.say(None, message=message)) as server:
        assert answers(server, [request("a")])["a"].text == text


@pytest.mark.parametrize(("counted", "whole"), [(2, False), (6, True), (None, True)])
def test_fewer_tokens_than_words_are_a_prompt_that_was_cut(counted: int | None, whole: bool):
    # "Sort it.", "Body:" and "The build is red." are six words and more.
    usage = {"usage": {"prompt_tokens": counted}} if counted else {}
    reply = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], **usage}
    with serving(lambda handler, _: handler.send(200, reply)) as server:
        assert answers(server, [request("a", "is red.")])["a"].saw_whole_prompt is whole


ODD: tuple[Any, ...] = ([], ["x"], {}, {"x": 1}, "x", 7, True, 10**400, 1e400, None)


@pytest.mark.parametrize("field", ["choice", "message", "content", "reason", "usage", "logprobs"])
def test_a_field_of_any_kind_is_read_or_refused(field: str):
    def behave(handler: Handler, number: int) -> None:
        odd = ODD[int(handler.body["messages"][-1]["content"].rpartition(" ")[2])]
        entry = {"token": odd, "logprob": odd, "top_logprobs": [odd, {"logprob": odd}]}
        message = {"content": odd if field == "content" else "x", "reasoning": odd}
        choice = {
            "message": odd if field == "message" else message,
            "finish_reason": odd if field == "reason" else "stop",
            "logprobs": odd if field == "logprobs" else {"content": [entry, odd]},
        }
        handler.send(
            200,
            {
                "choices": [odd if field == "choice" else choice],
                "usage": odd if field == "usage" else {"prompt_tokens": odd},
            },
        )

    asked = [request(str(n), f"text {n}") for n in range(len(ODD))]
    with serving(behave) as server:
        found = dict(engine(server, retries=0, concurrency=1).complete(asked))
    assert set(found) == {str(n) for n in range(len(ODD))}
    for said in found.values():
        assert isinstance(said, Completion | Unanswered)
        if isinstance(said, Completion):
            assert 0 <= said.prompt_tokens < 10**9


# Trouble that passes


def slam(handler: Handler) -> None:
    handler.hang_up()


def cut_mid_body(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "500")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.wfile.flush()
    handler.hang_up()


def hang(handler: Handler) -> None:
    handler.server.released.wait(PATIENCE)


def drip(handler: Handler) -> None:
    """Send a byte now and then: no single read takes long."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100000")
    handler.end_headers()
    while not handler.server.released.wait(0.05):
        handler.wfile.write(b" ")
        handler.wfile.flush()


def endlessly(handler: Handler, opening: bytes, piece: bytes) -> None:
    """Send a piece again and again, and never an end."""
    handler.wfile.write(opening)
    while not handler.server.released.wait(0.002):
        handler.wfile.write(piece)
        handler.wfile.flush()


GZIP = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n"
EMPTY_BLOCK = b"5\r\n\x00\x00\x00\xff\xff\r\n"
"""A stored block of no bytes, of deflate (RFC 1951), as a chunk."""
ENDLESS = {
    "headers": (b"HTTP/1.1 200 OK\r\n", b"X: y\r\n"),
    "100": (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
    "103": (b"", b"HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n"),
    "gzip": (GZIP + b"a\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\r\n", EMPTY_BLOCK),
}


@pytest.mark.parametrize("kind", ENDLESS)
def test_a_deadline_is_over_the_whole_request(kind: str):
    started = time.monotonic()
    with serving(lambda handler, _: endlessly(handler, *ENDLESS[kind])) as server:
        said = answers(server, [request("a")], timeout=0.5, retries=0)["a"]
    assert isinstance(said, Unanswered)
    assert "within 0.5 s (after one try)" in said.why
    assert time.monotonic() - started < PATIENCE


@pytest.mark.parametrize(
    ("wait", "said"),
    [
        ("9" * 400, "and asks to wait for longer than a week"),
        ("Fri, 31 Dec 9999 23:59:59 GMT", "and asks to wait for longer than a week"),
        ("Mon, 01 Jan 0001 00:00:00 +2359", "status 503 (after one try)"),
        ("Mon, 99 Foo 2026 77:00:00 GMT", "status 503 (after one try)"),
        ("-5", "status 503 (after one try)"),
        (",,,;", "status 503 (after one try)"),
    ],
)
def test_a_wait_that_makes_no_sense(wait: str, said: str):
    with serving(lambda handler, _: handler.send(503, {}, Retry_After=wait)) as server:
        assert answers(server, [request("a")], retries=0)["a"].why.endswith(said)


TROUBLES = {
    "status 429: slow down": lambda h: h.send(
        429, {"error": {"message": "slow down"}}, Retry_After="0"
    ),
    "status 500: out of luck": lambda h: h.send(500, {"error": "out of luck"}),
    "status 503: loading": lambda h: h.send(503, {"detail": {"message": "loading"}}),
    "status 502: <html>bad gateway</html>": lambda h: h.send(502, b"<html>bad gateway</html>"),
    "the connection broke off": slam,
    "the connection broke": cut_mid_body,
    "no answer within 1 s": hang,
    "no whole answer within 1 s": drip,
    "the server's answer is not JSON: '{\"choices": lambda h: h.send(200, b'{"choices'),
    "the server's answer is not JSON: '[[": lambda h: h.send(200, b"[" * 100_000),
    "the server's answer is no chat completion: '[]'": lambda h: h.send(200, []),
    "the server's answer is no chat completion: '{\"choices": lambda h: h.send(
        200, {"choices": [{"message": {"content": ["Work"]}, "finish_reason": "stop"}]}
    ),
    "the server's answer is no chat completion: '{\"err": lambda h: h.send(200, {"err": "a\x1b["}),
}


def patience(why: str) -> float:
    """Short where it is to be used up, and long where it is not."""
    return 1.0 if "within 1 s" in why else PATIENCE


@pytest.mark.parametrize("why", TROUBLES)
def test_what_passes_is_tried_again(why: str):
    def behave(handler: Handler, number: int) -> None:
        if number < 2:
            TROUBLES[why](handler)
        else:
            echo(handler, number)

    with serving(behave) as server:
        # The third is answered at once; more tries are for a machine that takes a second for it.
        tries = 10 if "within 1 s" in why else 3
        found = answers(server, [request("a", "x")], timeout=patience(why), retries=tries - 1)
        assert 3 <= len(server.bodies) <= tries
    assert found["a"].text == "Body: x"


@pytest.mark.parametrize("why", TROUBLES)
def test_what_does_not_pass_is_no_answer(why: str):
    with serving(lambda handler, _: TROUBLES[why](handler)) as server:
        found = answers(server, [request("a")], timeout=patience(why), retries=1)
        assert len(server.bodies) == 2
    assert isinstance(found["a"], Unanswered)
    assert found["a"].why.startswith(why)
    assert found["a"].why.endswith("(after 2 tries)")
    assert found["a"].why.isprintable()


def test_one_row_in_trouble_does_not_touch_the_others():
    def behave(handler: Handler, number: int) -> None:
        if "text 3" in handler.body["messages"][-1]["content"]:
            handler.send(500, {"error": "I cannot stand threes"})
        else:
            echo(handler, number)

    with serving(behave) as server:
        found = answers(server, requests(12))
    assert [name for name, said in found.items() if isinstance(said, Unanswered)] == ["r3"]
    assert "I cannot stand threes" in found["r3"].why


@pytest.mark.parametrize("as_date", [False, True])
def test_the_server_says_how_long_to_wait(as_date: bool):
    came: list[float] = []

    def behave(handler: Handler, number: int) -> None:
        came.append(time.time())
        if number:
            echo(handler, number)
        else:
            later = datetime.now(UTC) + timedelta(seconds=2)
            wait = format_datetime(later, usegmt=True) if as_date else "1"
            handler.send(429, {}, Retry_After=wait)

    with serving(behave) as server:
        answers(server, [request("a")])
    assert 0.9 < came[1] - came[0] < PATIENCE


def test_an_hour_is_not_waited_for():
    with serving(lambda h, _: h.send(429, {}, Retry_After="3600")) as server:
        found = answers(server, [request("a")])
        assert len(server.bodies) == 1
    assert found["a"] == Unanswered("status 429, and asks to wait 3600 s")


def test_pauses_grow():
    came: list[float] = []

    def behave(handler: Handler, number: int) -> None:
        came.append(time.monotonic())
        handler.send(500, {})

    with serving(behave) as server:
        made = EndpointEngine(Endpoint(url=server.url, model="m", retries=4), pause=0.04)
        list(made.complete([request("a")]))
    gaps = [b - a for a, b in pairwise(came)]
    assert len(gaps) == 4
    # At least half of 0.04, 0.08, 0.16 and 0.32 s: jitter takes no more.
    assert all(gap >= 0.02 * 2**n for n, gap in enumerate(gaps))


# Trouble that stays


def test_a_server_that_dies_on_the_way_costs_what_is_left_and_no_more():
    def behave(handler: Handler, number: int) -> None:
        if number < 20:
            echo(handler, number)
        else:
            slam(handler)

    started = time.monotonic()
    with serving(behave) as server:
        found = answers(server, requests(400), retries=2)
        asked = len(server.bodies)
    lost = {name: said for name, said in found.items() if isinstance(said, Unanswered)}
    assert len(found) == 400
    assert len(lost) == 380
    assert sum("given up: " in said.why for said in lost.values()) >= 380 - 2 * GIVE_UP_AFTER - 4
    assert asked < 60  # not three tries for each of the 380
    assert time.monotonic() - started < PATIENCE


def test_once_given_up_it_stays_given_up():
    with serving(lambda handler, _: slam(handler)) as server:
        made = engine(server, retries=0, concurrency=1)
        list(made.complete(requests(GIVE_UP_AFTER)))
        asked = len(server.bodies)
        assert all("given up" in said.why for _, said in made.complete(requests(50)))
        assert len(server.bodies) == asked


def test_failures_that_are_not_in_a_row_do_not_end_it():
    def behave(handler: Handler, number: int) -> None:
        if number % GIVE_UP_AFTER:
            handler.send(500, {})
        else:
            echo(handler, number)

    with serving(behave) as server:
        found = answers(server, requests(30), retries=0, concurrency=1)
    assert sum(isinstance(said, Completion) for said in found.values()) == 10


def test_giving_up_ends_the_pauses_of_the_others():
    with serving(lambda handler, _: handler.send(500, {}, Retry_After="60")) as server:
        made = EndpointEngine(
            Endpoint(url=server.url, model="m", retries=1, concurrency=8, timeout=5), pause=0.01
        )
        made._lost_in_a_row = GIVE_UP_AFTER - 1

        def behave(handler: Handler, number: int) -> None:
            if number == 7:
                handler.send(429, {}, Retry_After="4000")  # at once, for good
            else:
                handler.send(500, {}, Retry_After="60")

        server.behave = behave
        started = time.monotonic()
        found = dict(made.complete(requests(8)))
    assert time.monotonic() - started < PATIENCE
    assert all(isinstance(said, Unanswered) for said in found.values())


def test_nobody_is_kept_waiting_by_requests_under_way():
    with serving(lambda h, n: echo(h, n) if n < 1 else hang(h)) as server:
        answering = engine(server, timeout=60).complete(requests(10))
        next(answering)
        started = time.monotonic()
        answering.close()
    assert time.monotonic() - started < PATIENCE


# What the user can mend


@pytest.mark.parametrize(
    ("status", "error", "advice"),
    [
        (401, {"error": {"message": "no key\x1b[2J"}}, "api_key_env"),
        (404, {"message": "model 'tiny' not found"}, "`model`"),
        (400, {"error": "too long"}, "The row is 'a'"),
        (301, b"", "leads elsewhere, to http://elsewhere/v1"),
    ],
)
def test_a_refusal_is_the_users_to_mend(status: int, error: object, advice: str):
    with serving(lambda h, _: h.send(status, error, Location="http://elsewhere/v1")) as server:
        with pytest.raises(UserError) as caught:
            answers(server, [request("a")])
        assert len(server.bodies) == 1
    assert f"status {status}" in str(caught.value)
    assert server.url in str(caught.value)
    assert advice in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_server_that_is_not_there_at_the_start_is_the_users_to_mend():
    with reserved_port() as port:
        url = f"http://127.0.0.1:{port}/v1"
        made = EndpointEngine(Endpoint(url=url, model="m", retries=1), pause=0.01)
        with pytest.raises(UserError, match=r"No model answers at .*: no connection .* Start the"):
            made.describe()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("", r"needs a table \[endpoint\]"),
        ('[endpoint]\nurl = "localhost:8080"\nmodel = "m"', "endpoint.url: is no address"),
        ('[endpoint]\nurl = "http://a:b@c/v1"\nmodel = "m"', "api_key_env"),
        ('[endpoint]\nurl = "http://c/v1/chat/completions"\nmodel = "m"', "up to /v1"),
        ('[endpoint]\nurl = "http://c/v1"', "endpoint.model is missing"),
        ('[endpoint]\nurl = "http://c/v1"\nmodel = "m"\nretry = 3', "unknown key 'endpoint.retry'"),
        ('[endpoint]\nurl = "http://c"\nmodel = "m"\nconcurrency = 0', "endpoint.concurrency"),
        (
            '[endpoint]\nurl = "http://c"\nmodel = "m"\nbody = { stream = true }',
            "stream cannot be set",
        ),
        ('[endpoint]\nurl = "http://c"\nmodel = "m"\nbody = { a = 2026-01-01 }', "endpoint.body.a"),
        ('[endpoint]\nurl = "http://c"\nmodel = "m"\nomit = ["messages"]', "cannot be left out"),
    ],
)
def test_a_table_that_does_not_do(table: str, message: str, tmp_path: Path):
    (tmp_path / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nengine = "endpoint"\n{table}\n'
    )
    with pytest.raises(UserError, match=message):
        load_system(tmp_path)


@pytest.mark.parametrize(
    ("more", "free"), [("", True), ("body = { grammar = 'root ::= \"x\"' }\n", False)]
)
def test_a_grammar_is_the_servers_to_apply(more: str, free: bool, tmp_path: Path):
    text = 'task = "intents"\nformat = "labels"\nengine = "endpoint"\n'
    table = f'[endpoint]\nurl = "http://c"\nmodel = "m"\n{more}'
    (tmp_path / "system.toml").write_text(text + table)
    assert ("free_decoding" in load_system(tmp_path).capabilities) is free
    (tmp_path / "system.toml").write_text(text + 'decoding = "constrained"\n' + table)
    with pytest.raises(UserError, match="`evalkit grammar TASK` prints it"):
        build_engine(load_system(tmp_path), EngineOptions())


def test_a_table_belongs_to_its_engine(tmp_path: Path):
    (tmp_path / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nengine = "keyword"\n'
        '[endpoint]\nurl = "http://c"\nmodel = "m"\n'
    )
    with pytest.raises(UserError, match='goes with engine = "endpoint"'):
        load_system(tmp_path)


@pytest.mark.parametrize(("adapter", "elsewhere"), [("", True), ("adapter = false\n", False)])
def test_what_a_server_was_trained_on_is_not_known(adapter: str, elsewhere: bool, tmp_path: Path):
    (tmp_path / "system.toml").write_text(
        f'task = "intents"\nformat = "labels"\nengine = "endpoint"\n{adapter}'
        '[endpoint]\nurl = "http://c"\nmodel = "m"\n'
    )
    config = load_system(tmp_path).config
    assert config.trained_elsewhere is elsewhere
    assert not config.wants_adapter
    assert config.trained_files == ()


# What the record says


def test_the_record_names_server_and_model():
    meta = {"ftype": "Q4_1", "size": 96, "n_ctx": 2048}

    def list_models(handler: Handler, number: int) -> None:
        handler.send(200, {"data": [{"id": "other"}, {"id": "tiny", "meta": meta}]})

    with serving(echo) as server:
        server.list_models = list_models
        assert engine(server, body={"seed": 1}).describe() == {
            "engine": "endpoint",
            "url": server.url,
            "model": "tiny",
            "served": 'tiny {"ftype": "Q4_1", "size": 96}',
            "system_role": 1,
            "body": '{"seed": 1}',
            "decoding": "free",
        }
        assert server.paths == ["/v1/models"]


def test_a_server_that_lists_no_models_is_asked_all_the_same():
    with serving(echo) as server:
        server.list_models = lambda handler, _: handler.send(404, {})
        assert engine(server).describe()["served"] == "not listed"


def test_a_grammar_is_named_as_such():
    with serving(echo) as server:
        for body in ({"grammar": 'root ::= "x"'}, {"response_format": {"type": "json_object"}}):
            assert engine(server, body=body).describe()["decoding"] == "constrained"


def test_the_prompt_hash_is_of_the_messages():
    with serving(echo) as server:
        made = engine(server)
        asked = [{"role": "system", "content": "Sort it."}, {"role": "user", "content": "Body: x"}]
        expected = hashlib.sha256(json.dumps(asked).encode()).hexdigest()
        assert made.prompt_sha256(request("a", "x").prompt) == expected
        assert made.prompt_sha256(request("a", "y").prompt) != expected


# Log-probabilities

FOLDERS = ("Work", "Workshop", "Home")


def folder_answers() -> tuple[Answer, ...]:
    return tuple(
        Answer({"folder": f, "level": n}, f'{{"folder": "{f}", "level": {n}}}')
        for f in FOLDERS
        for n in (1, 10, 2)
    )


def spelled(*tokens: tuple[str, float, float]) -> dict[str, Any]:
    """Tokens with their probability and that of the next likeliest."""
    return {
        "content": [
            {
                "token": token,
                "logprob": math.log(p),
                "top_logprobs": [
                    {"token": token, "logprob": math.log(p)},
                    {"token": "~", "logprob": math.log(q)},
                ],
            }
            for token, p, q in tokens
        ]
    }


WORK_1 = (
    ('{"', 0.9, 0.05),
    ("folder", 0.9, 0.05),
    ('": "', 0.9, 0.05),
    ("Wo", 0.5, 0.3),
    ("rk", 0.8, 0.1),
    ('",', 0.6, 0.4),
    (' "level":', 0.9, 0.05),
    (" 1", 0.7, 0.2),
    ("}", 0.95, 0.01),
)


def said_with(tokens: dict[str, Any] | None, text: str, reason: str = "stop") -> Completion:
    with serving(lambda handler, _: handler.say(text, reason, logprobs=tokens)) as server:
        found = answers(server, [request("a", answers=folder_answers())])["a"]
    assert isinstance(found, Completion)
    return found


TEXT = '{"folder": "Work", "level": 1}'


def test_a_values_probability_is_that_of_its_tokens_and_the_one_that_ends_it():
    found = said_with(spelled(*WORK_1), TEXT)
    # "Workshop" begins like "Work" and 10 like 1: the quote and the brace decide.
    assert found.confidences == pytest.approx({"folder": 0.5 * 0.8 * 0.6, "level": 0.7 * 0.95})
    assert found.margin == pytest.approx(math.log(0.6 / 0.4))


def test_an_end_token_in_the_list_is_no_part_of_the_answer():
    found = said_with(spelled(*WORK_1, ("<|im_end|>", 0.5, 0.49)), TEXT)
    assert set(found.confidences) == {"folder", "level"}
    assert found.margin == pytest.approx(math.log(0.6 / 0.4))


@pytest.mark.parametrize(
    ("tokens", "text", "reason"),
    [
        (None, TEXT, "stop"),
        ({"content": None}, TEXT, "stop"),
        ({"content": [{"token": 3}]}, TEXT, "stop"),
        (spelled(*WORK_1[:-1]), TEXT, "stop"),  # they spell something else
        (spelled(*WORK_1), TEXT, "length"),  # not said to its end
        (spelled(("x", 0.5, 0.1)), "x", "stop"),  # not canonical
    ],
)
def test_no_confidence_is_better_than_a_wrong_one(tokens: Any, text: str, reason: str):
    assert said_with(tokens, text, reason).confidences == {}


def test_a_list_of_labels_gets_none_as_its_end_is_not_counted():
    task = load_task("intents")
    example = Example("a", {"prompt": "x"}, {"intents": ("payment",)})
    (asked,) = build_requests(task, get_format("labels", task), [example])
    tokens = spelled(("payment", 0.9, 0.05))
    with serving(lambda handler, _: handler.say("payment", logprobs=tokens)) as server:
        found = answers(server, [asked])["a"]
    assert found.confidences == {}
    assert found.margin == pytest.approx(math.log(0.9 / 0.05))


def test_a_margin_needs_a_runner_up_everywhere():
    tokens = spelled(*WORK_1)
    tokens["content"][2]["top_logprobs"].pop()
    assert said_with(tokens, TEXT).margin is None


def test_no_margin_where_a_grammar_forbids_tokens():
    with serving(lambda handler, _: handler.say(TEXT, logprobs=spelled(*WORK_1))) as server:
        asked = request("a", answers=folder_answers())
        said = answers(server, [asked], body={"grammar": "root ::= ..."})["a"]
    assert said.margin is None
    assert set(said.confidences) == {"folder", "level"}


@pytest.mark.parametrize("status", [400, 500])
def test_a_server_without_logprobs_is_asked_without(status: int):
    def behave(handler: Handler, number: int) -> None:
        if "logprobs" in handler.body:
            handler.send(status, {"error": {"message": "logprobs is not supported here"}})
        else:
            echo(handler, number)

    with serving(behave) as server:
        made = engine(server, concurrency=1)
        found = dict(made.complete(requests(5)))
        assert len(server.bodies) == 6
    assert all(isinstance(said, Completion) for said in found.values())


@pytest.mark.parametrize(("counted", "tokens"), [(9, 9), (-1, 0), (True, 0), ("9", 0), (10**30, 0)])
def test_generated_tokens_are_those_that_the_server_counts(counted: object, tokens: int):
    usage = {"usage": {"prompt_tokens": 70, "completion_tokens": counted}}
    reply = {"choices": [{"message": {"content": "x"}, "finish_reason": "stop"}], **usage}
    said = read_completion(reply, request("a", "is red."), 0.1)
    assert isinstance(said, Completion)
    assert said.counted_tokens == tokens
    assert completion_from_json(completion_to_json(said)) == said
