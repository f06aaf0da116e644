"""The endpoint engine against a real llama.cpp server, where there is one.

`EVALKIT_TEST_ENDPOINT` names one that runs (`http://localhost:8080/v1`). Or, with xllamacpp
installed (llama.cpp's own server in a wheel), `EVALKIT_TEST_GGUF` names the model to serve.
"""

from __future__ import annotations

import importlib.util
import os
import select
import subprocess
import sys
from collections.abc import Iterator

import pytest

from evalkit.engines.endpoint import EndpointEngine
from evalkit.engines.places import Endpoint
from evalkit.evaluation.evaluation import build_requests
from evalkit.formats import get_format
from evalkit.formats.grammar import gbnf
from evalkit.records import Completion, Example, FinishReason, Prediction
from evalkit.tasks import load_task

SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.port = sys.argv[1], 4096, 2, 0
params.cpuparams.n_threads = 2
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""
BODIES = (
    "The build is red again.",
    "Your parcel arrives today.",
    "50% off <escape> everything",
    "飞书：会议五分钟后开始。",
)


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    if running := os.environ.get("EVALKIT_TEST_ENDPOINT"):
        yield running
        return
    model = os.environ.get("EVALKIT_TEST_GGUF")
    if not model or not importlib.util.find_spec("xllamacpp"):
        pytest.skip("no server: set EVALKIT_TEST_ENDPOINT, or EVALKIT_TEST_GGUF with xllamacpp")
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, model],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        assert server.stdout
        assert select.select([server.stdout], [], [], 60)[0], "it does not start"
        yield f"{server.stdout.readline().strip()}/v1"
        server.kill()


def ask(url: str, task_name: str, format_name: str, **settings: object) -> list[Completion]:
    task = load_task(task_name)
    fmt = get_format(format_name, task)
    labels = {name: field.labels[0] for name, field in task.fields.items()}
    labels = {n: (v,) if task.fields[n].kind == "multi-label" else v for n, v in labels.items()}
    examples = [
        Example(f"r{n}", dict.fromkeys(task.inputs, body), labels) for n, body in enumerate(BODIES)
    ]
    place = Endpoint(url=url, model="default", **{"concurrency": 2, "timeout": 120, **settings})
    found = dict(EndpointEngine(place).complete(list(build_requests(task, fmt, examples))))
    assert all(isinstance(said, Completion) for said in found.values()), found
    return [found[example.id] for example in examples]


def test_free_answers_are_repeatable_and_bounded(url: str):
    first = ask(url, "notifications-3level", "json")
    again = ask(url, "notifications-3level", "json", concurrency=1)
    assert [said.text for said in first] == [said.text for said in again]
    assert all(said.finish_reason in FinishReason for said in first)
    assert all(100 < said.prompt_tokens < 1000 for said in first)
    assert all(said.margin is not None and said.margin >= 0 for said in first)
    assert all(len(said.text) < 2000 for said in first)


@pytest.mark.parametrize(
    ("task_name", "format_name"),
    [("notifications-3level", "json"), ("notifications-3level", "call"), ("intents", "labels")],
)
def test_under_a_tasks_grammar_every_answer_is_canonical(
    url: str, task_name: str, format_name: str
):
    task = load_task(task_name)
    body = {"grammar": gbnf(task, format_name)}
    found = ask(url, task_name, format_name, body=body)
    ended = [said for said in found if said.finish_reason is FinishReason.STOP]
    readings = [get_format(format_name, task).parse(task, said.text) for said in ended]
    assert [r for r in readings if not isinstance(r.strict, Prediction)] == []
    if format_name == "json":
        assert len(ended) == len(BODIES)
        assert all(set(said.confidences) == set(task.fields) for said in found)


def test_the_record_names_the_model_that_is_served(url: str):
    described = EndpointEngine(Endpoint(url=url, model="default")).describe()
    assert described["served"] != "not listed"
