"""A real llama.cpp behind the endpoint engine, with a random model."""

from __future__ import annotations

import select
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from evalkit.engines.endpoint import EndpointEngine
from evalkit.engines.places import Endpoint
from evalkit.errors import UserError
from evalkit.evaluation.evaluation import build_requests
from evalkit.formats import get_format
from evalkit.formats.grammar import gbnf
from evalkit.records import Completion, Example, Request, Unanswered
from evalkit.tasks import load_task
from tiny_gguf import save_gguf

TASK = load_task("notifications-3level")
FORMAT = get_format("json", TASK)
SERVE = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path, params.n_ctx, params.n_parallel, params.port = sys.argv[1], 2048, 1, 0
params.cpuparams.n_threads, params.warmup = 1, False
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def serving(model: Path) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    with subprocess.Popen(
        [sys.executable, "-c", SERVE, str(model)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as server:
        try:
            assert server.stdout
            assert select.select([server.stdout], [], [], 120)[0], "it does not start"
            yield f"{server.stdout.readline().strip()}/v1", server
        finally:
            server.kill()


def requests(*bodies: str) -> list[Request]:
    labels = {"folder": "Work", "priority": 1}
    examples = [
        Example(str(n), dict.fromkeys(TASK.inputs, body), labels) for n, body in enumerate(bodies)
    ]
    return list(build_requests(TASK, FORMAT, examples))


@pytest.mark.weights
def test_a_real_llama_cpp(tmp_path: Path):
    """Counts and confidences, a prompt beyond its context, and its death in the middle."""
    pytest.importorskip("xllamacpp", reason="llama.cpp is not installed")
    with serving(save_gguf(tmp_path / "tiny.gguf")) as (url, server):
        place = Endpoint(
            url=url,
            model="default",
            concurrency=1,
            retries=0,
            timeout=60,
            body={"grammar": gbnf(TASK, "json")},
        )
        engine = EndpointEngine(place, pause=0.01)
        short, longer = (
            said
            for _, said in engine.complete(requests("is red.", "is red again, and so is this."))
        )
        for said in (short, longer):
            assert isinstance(said, Completion)
            assert 0 < said.counted_tokens <= len(said.text) + 1
            assert set(said.confidences) == set(TASK.fields)
            assert all(0 < value <= 1 for value in said.confidences.values())
        assert isinstance(short, Completion)
        assert isinstance(longer, Completion)
        assert 0 < short.prompt_tokens < longer.prompt_tokens
        with pytest.raises(UserError, match="context"):
            list(engine.complete(requests("many words here " * 2000)))
        answers = EndpointEngine(place, pause=0.01).complete(requests("a.", "b.", "c.", "d."))
        assert isinstance(next(answers)[1], Completion)
        server.kill()
        server.wait()
        rest = [said for _, said in answers]
        assert len(rest) == 3
        assert isinstance(rest[-1], Unanswered)
