"""The engine on a Ray cluster of two workers, on this machine."""

from __future__ import annotations

import contextlib
import importlib
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from evalkit.data import Dataset
from evalkit.data.loading import hash_examples
from evalkit.engines import ray_engine
from evalkit.engines.base import Engine
from evalkit.engines.building import EngineOptions
from evalkit.engines.places import Cluster
from evalkit.engines.pool import build_engine
from evalkit.engines.ray_engine import RayEngine
from evalkit.errors import UserError
from evalkit.evaluation import EvaluatedRow
from evalkit.records import Completion, Example, FinishReason, Prompt, Request, Unanswered
from evalkit.runs.runner import Runner
from evalkit.systems import System, load_system
from tiny_models import save_base

pytestmark = pytest.mark.skipif(
    find_spec("ray") is None, reason="Ray is not installed: pip install 'pytest-evalkit[ray]'"
)

OPTIONS = EngineOptions(device="cpu", precision="fp32", batch_size=2)
TRIES = 2
"""In the place of three: each death costs the seconds that a process takes to start."""


@pytest.fixture(scope="module")
def ray() -> Any:
    """Loaded where these tests run, and not wherever they are collected."""
    return importlib.import_module("ray")


@pytest.fixture(scope="module")
def cluster(ray: Any) -> Iterator[None]:
    """Two processors, no more memory than prompts take, and no process that only watches."""
    node = importlib.import_module("ray._private.node").Node
    with pytest.MonkeyPatch.context() as patch:
        for watcher in ("start_log_monitor", "start_monitor"):
            patch.setattr(node, watcher, lambda self: None, raising=False)
        patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
        patch.setattr(ray_engine, "MOST_TRIES", TRIES)
        ray.init(
            address="local",
            num_cpus=2,
            object_store_memory=100_000_000,
            include_dashboard=False,
            logging_level="ERROR",
            log_to_driver=False,
        )
        yield
        ray.shutdown()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("tiny")
    save_base(made / "base")
    return made


def system(folder: Path, engine: str, more: str = "") -> System:
    (folder / "system.toml").write_text(
        'task = "notifications-3level"\nformat = "json"\nadapter = false\n'
        f'base = "./base"\nengine = "{engine}"\n{more}'
    )
    return load_system(folder)


def tiny_dataset(count: int) -> Dataset:
    texts = ("The build is red.", "Your parcel arrives today.", "飞书：会议", "x" * 40)
    examples = tuple(
        Example(
            f"r{n}",
            {"app_name": "Slack", "title": f"#{n}", "body": texts[n % 4]},
            {"folder": "Work", "priority": 1},
        )
        for n in range(count)
    )
    return Dataset("tiny rows", examples, (), {}, hash_examples(examples), ())


def without_time(row: EvaluatedRow) -> EvaluatedRow:
    """A row without what differs from run to run, and its margin, which floats a little."""
    return replace(row, completion=replace(row.completion, seconds=0.0, margin=None))


@pytest.mark.usefixtures("cluster")
def test_the_same_run_row_for_row_as_without_a_cluster_though_a_worker_is_killed(
    folder: Path, ray: Any
):
    data, quiet, built = tiny_dataset(18), Console(quiet=True), []

    def build(made: System, options: EngineOptions) -> Engine:
        built.append(build_engine(made, options))
        return built[-1]

    alone = Runner(folder / "alone", OPTIONS, quiet, build=build)
    expected, _ = alone.evaluate(system(folder, "transformers"), data)

    killed: list[int] = []

    @contextlib.contextmanager
    def kill_one(*_: object) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            if not killed:
                pids = [ray.get(worker.pid.remote()) for worker in built[1].workers]
                assert len({*pids, os.getpid()}) == 3
                os.kill(pids[1], signal.SIGKILL)
                killed.append(pids[1])

        yield advance

    spread = Runner(folder / "spread", OPTIONS, quiet, build=build, progress=kill_one)
    found, _ = spread.evaluate(system(folder, "ray", "[ray]\nworkers = 2\n"), data)
    assert killed
    assert isinstance(built[1], RayEngine)
    assert [*map(without_time, found.rows)] == [*map(without_time, expected.rows)]
    margins = [row.completion.margin for row in found.rows]
    assert margins == pytest.approx([row.completion.margin for row in expected.rows], abs=1e-5)
    assert found.accuracy("folder").estimate == expected.accuracy("folder").estimate
    one, other = found.record, expected.record
    assert one.prompt_sha256 == other.prompt_sha256
    assert one.weights_sha256 == other.weights_sha256
    assert one.engine == {**other.engine, "engine": "ray: transformers", "workers": 2}
    built[1].close()


class Deadly:
    """Answers with the id, and dies over one."""

    def complete(self, requests: Sequence[Request]) -> Iterator[tuple[str, Completion]]:
        for request in requests:
            if request.id == "poison":
                os.kill(os.getpid(), signal.SIGKILL)
            if request.id == "fault":
                raise ZeroDivisionError("a fault of the engine")
            yield request.id, Completion(request.id, FinishReason.STOP)

    def describe(self) -> dict[str, str | int]:
        raise UserError("no such weights")

    def prompt_sha256(self, prompt: Prompt) -> str:
        os.kill(os.getpid(), signal.SIGKILL)
        return ""


@pytest.fixture(scope="module")
def deadly(ray: Any) -> Callable[[], Deadly]:
    """Sent by value: the workers cannot import this module."""
    ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])
    return Deadly


@pytest.fixture(scope="module")
def engine(cluster: None, deadly: Callable[[], Deadly]) -> Iterator[RayEngine]:
    """One for all tests: those that die are replaced."""
    made = RayEngine(deadly, Cluster(workers=2), 2)
    yield made
    made.close()
    assert made.workers == []


def request(name: str) -> Request:
    return Request(name, Prompt("Sort it.", ()), {}, "")


def test_no_requests(engine: RayEngine):
    assert list(engine.complete([])) == []


def test_a_request_that_kills_every_worker_is_given_up_and_no_other(engine: RayEngine):
    names = ["a", "b", "c", "poison", "e", "f", "g"]
    found = dict(engine.complete([request(name) for name in names]))
    lost = {name: said for name, said in found.items() if isinstance(said, Unanswered)}
    assert set(lost) == {"c", "poison"}
    assert lost["poison"].why.startswith(f"{TRIES} workers died over it: ")
    assert {found[name].text for name in found if name not in lost} == {"a", "b", "e", "f", "g"}


def test_faults_of_the_engine_are_no_deaths(engine: RayEngine):
    with pytest.raises(UserError) as caught:
        engine.describe()
    assert str(caught.value) == "no such weights"
    with pytest.raises(ZeroDivisionError):
        list(engine.complete([request("fault")]))
    with pytest.raises(UserError, match="No worker of the Ray cluster stays alive"):
        engine.prompt_sha256(Prompt("Sort it.", ()))


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("table", [Cluster(workers=3), Cluster(workers=1, gpus=1)])
def test_a_cluster_that_is_too_small_is_said_so_at_once(table: Cluster):
    with pytest.raises(UserError, match="do not fit on the Ray cluster, which has"):
        RayEngine(Deadly, table, 2)


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "127.0.0.1:99999"])
def test_an_address_where_nothing_is_is_said_so_at_once(
    address: str, ray: Any, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with pytest.raises(UserError, match=f"No Ray cluster answers at '{address}'"):
        RayEngine(Deadly, Cluster(address=address), 2)


def test_ray_needs_weights(tmp_path: Path):
    (tmp_path / "system.toml").write_text('task = "intents"\nformat = "labels"\nengine = "ray"\n')
    with pytest.raises(UserError, match="engine 'ray' needs base"):
        load_system(tmp_path)
