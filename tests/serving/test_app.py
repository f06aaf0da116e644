"""The server, asked in this process; and the endpoint engine against it, over a socket."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from evalkit.classifier import Classifier, load
from evalkit.engines.endpoint import EndpointEngine
from evalkit.engines.places import Endpoint
from evalkit.evaluation import build_requests
from evalkit.records import Example, Unanswered
from evalkit.serving.app import build_app, run_app
from evalkit.systems import load_system
from ports import reserved_port
from tiny_models import save_base

pytestmark = pytest.mark.usefixtures("few_tokens")

pytest.importorskip("starlette", reason="the extra serve is not installed")
TEXTS = ["pay 1", "Your parcel arrives today", "Refund my order, please!", "飞书\nRequest: x"]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory: pytest.TempPathFactory) -> Classifier:
    folder = tmp_path_factory.mktemp("served")
    save_base(folder / "base")
    (folder / "tiny").mkdir()
    (folder / "tiny" / "system.toml").write_text(
        'task = "intents"\nformat = "labels"\nbase = "../base"\nadapter = false\n'
    )
    return load(folder / "tiny", device="cpu", precision="fp32")


@pytest.fixture(scope="module")
def said(classifier: Classifier) -> list[dict[str, Any]]:
    return [one.to_json() for one in classifier.predict(TEXTS)]


def ask(classifier: Classifier, path: str, body: object) -> tuple[int, Any]:
    """Send one request through ASGI."""

    async def send() -> tuple[int, Any]:
        transport = httpx2.ASGITransport(app=build_app(classifier))
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as client:
            content = body if isinstance(body, bytes) else json.dumps(body).encode()
            reply = await client.post(path, content=content)
            return reply.status_code, reply.json()

    # A browser's test may have left this thread a loop that runs.
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(asyncio.run, send()).result()


def test_classify_says_what_predict_says(classifier: Classifier, said: list[dict[str, Any]]):
    given = [TEXTS[0], *({"prompt": text} for text in TEXTS[1:])]
    status, reply = ask(classifier, "/classify", {"inputs": given})
    assert status == 200
    assert reply == {"system": "tiny", "classifications": said}


def test_a_chat_gets_the_answer_as_it_was_written(
    classifier: Classifier, said: list[dict[str, Any]]
):
    body = {"messages": [{"role": "user", "content": TEXTS[2]}], "temperature": 0}
    status, reply = ask(classifier, "/v1/chat/completions", body)
    assert status == 200
    assert reply["choices"][0]["message"]["content"] == said[2]["text"]


@pytest.mark.parametrize(
    ("path", "body", "why"),
    [
        ("/classify", b"{", "not JSON"),
        ("/classify", {"inputs": "pay"}, "POST"),
        ("/classify", {"inputs": [{"promt": "pay"}]}, "Did you mean 'prompt'"),
        ("/v1/chat/completions", {}, "list of messages"),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": "pay"}], "temperature": 0.7},
            "temperature = 0.7",
        ),
        (
            "/v1/chat/completions",
            {
                "messages": [
                    {"role": "system", "content": "Be brief."},
                    {"role": "user", "content": "pay"},
                ]
            },
            "the instructions it was judged with",
        ),
        (
            "/v1/chat/completions",
            {"messages": [{"role": "user", "content": [{"type": "image_url"}]}]},
            "parts that are texts",
        ),
    ],
)
def test_what_is_not_served_is_refused(classifier: Classifier, path: str, body: Any, why: str):
    status, reply = ask(classifier, path, body)
    assert status == 400
    assert why in reply["error"]["message"]


def test_no_answer_is_no_answer(classifier: Classifier, monkeypatch: pytest.MonkeyPatch):
    gone = lambda self, asked: [Unanswered("the worker died") for _ in asked]  # noqa: E731
    monkeypatch.setattr(Classifier, "complete", gone)
    body = {"messages": [{"role": "user", "content": "pay"}]}
    status, reply = ask(classifier, "/v1/chat/completions", body)
    assert (status, reply["error"]["message"]) == (503, "the worker died")
    monkeypatch.setattr(Classifier, "complete", lambda self, asked: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        ask(classifier, "/v1/chat/completions", body)


@pytest.fixture(scope="module")
def url(classifier: Classifier) -> Iterator[str]:
    app = build_app(classifier)
    with reserved_port() as port:
        threading.Thread(target=run_app, args=(app, "127.0.0.1", port), daemon=True).start()
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}/v1"


@pytest.mark.parametrize("system_role", [True, False])
def test_the_endpoint_engine_gets_exactly_what_predict_gives(
    classifier: Classifier, said: list[dict[str, Any]], url: str, system_role: bool
):
    task, fmt = classifier.task, classifier.system.format
    asked = [Example(str(n), {"prompt": text}, {}) for n, text in enumerate(TEXTS)]
    engine = EndpointEngine(Endpoint(url=url, model="tiny", system_role=system_role))
    assert engine.describe()["served"] == "tiny"
    found = dict(engine.complete(list(build_requests(task, fmt, asked))))
    assert [found[str(n)].text for n in range(len(TEXTS))] == [one["text"] for one in said]


def test_inputs_are_told_apart_as_the_prompt_has_them(tmp_path: Path):
    from evalkit.serving.messages import inputs_of

    (tmp_path / "system.toml").write_text(
        'task = "notifications-3level"\nformat = "json"\nbase = "x"\nadapter = false\n'
    )
    system = load_system(tmp_path)
    inputs = {"app_name": "Mail", "title": "Budget", "body": "at 9\nTitle: none"}
    prompt = system.format.prompt(system.task, inputs)
    user = {"role": "user", "content": "".join(span.text for span in prompt.user)}
    assert inputs_of({"messages": [user]}, system) == inputs
