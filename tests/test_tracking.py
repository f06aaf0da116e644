"""`--track mlflow` against a real MLflow server, started here."""

from __future__ import annotations

import importlib.util
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import gate_imports  # noqa: F401
from ports import reserved_port

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("mlflow") is None, reason="mlflow is not installed"
)
SERVER = ("flask", "flask_cors", "sqlalchemy", "alembic", "aiohttp")
lacking = [name for name in SERVER if importlib.util.find_spec(name) is None]
SUITE = """
def test_accuracy(evaluation, gate):
    gate("accuracy", evaluation.accuracy("priority"))

def test_recall(evaluation, gate):
    gate("recall", evaluation.recall("priority", 2), slice=2)
"""
GATES = """
[accuracy]
min_value = 0.8
min_cases = 5
why = "x"
[recall]
min_value = 0.1
min_cases = 5
why = "y"
"""
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'
EXPERIMENT = "releases of mine"


class Server:
    """A local MLflow server with a database and a folder of its own."""

    def __init__(self, folder: Path, port: int) -> None:
        self.address = f"http://127.0.0.1:{port}"
        self.log = folder / "server.log"
        command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"]
        command += ["--port", str(port), "--workers", "1"]
        command += ["--backend-store-uri", f"sqlite:///{folder / 'mlflow.db'}"]
        command += ["--artifacts-destination", str(folder / "artifacts")]
        quiet = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
        with self.log.open("w") as log:
            self.process = subprocess.Popen(
                command,
                cwd=folder,
                env=os.environ | quiet,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def wait(self) -> None:
        until = time.monotonic() + 90
        while time.monotonic() < until and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"{self.address}/health", timeout=2):
                    return
            except OSError:
                time.sleep(0.2)
        pytest.fail(f"the server did not start:\n{self.log.read_text()}")

    def stop(self) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture(scope="module", autouse=True)
def mlflow() -> Any:
    """Loaded where these tests run, and before a gate that would unload it."""
    importlib.import_module("mlflow.tracking")
    return importlib.import_module("mlflow")


@pytest.fixture
def port() -> Iterator[int]:
    with reserved_port() as found:
        yield found


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if lacking:
        pytest.skip(f"MLflow's server needs {', '.join(lacking)}")
    with reserved_port() as port:
        started = Server(tmp_path_factory.mktemp("mlflow"), port)
        try:
            started.wait()
            yield started
        finally:
            started.stop()


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A repository with a suite and two systems that recite: 15 and 18 of 20 are right."""
    root = pytester.path
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", EXPERIMENT)
    (root / "suites").mkdir()
    (root / "suites" / "test_it.py").write_text(SUITE)
    (root / "suites" / "gates.toml").write_text(GATES)
    rows = []
    for n in range(20):
        # Rows that say nearly the same would count as one.
        letters = random.Random(n).choices("abcdefghijklmnopqrstuvwxyz     ", k=40)
        notification = {"app": f"a{n}", "title": f"t{n}", "body": "".join(letters)}
        labels = {"folder": "Work", "priority": 2}
        rows.append({"id": f"r{n}", "notification": notification, "classification": labels})
    (root / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name, right in (("mine", 15), ("other", 18)):
        folder = root / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "system.toml").write_text(SYSTEM)
        said = [{"folder": "Work", "priority": 2 if n < right else 1} for n in range(20)]
        lines = [{"id": f"r{n}", "text": json.dumps(labels)} for n, labels in enumerate(said)]
        (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return root


def judge(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    given = ("suites", "--data", "rows.jsonl", *arguments, "-p", "no:cacheprovider")
    return pytester.runpytest_inprocess(*given)


def client_of(address: str) -> Any:
    from mlflow.tracking import MlflowClient

    return MlflowClient(address)


def tracked(address: str) -> dict[str, Any]:
    client = client_of(address)
    experiment = client.get_experiment_by_name(EXPERIMENT)
    return {run.info.run_name: run for run in client.search_runs([experiment.experiment_id])}


def test_a_gate_is_tracked_and_read_back(
    pytester: pytest.Pytester,
    project: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    both = judge(pytester, "--model", "mine", "--model", "other", "--track", "mlflow")
    assert both.ret == 1
    both.stdout.fnmatch_lines(["mlflow: mine is run *", "mlflow: other is run *"])
    both.stdout.no_fnmatch_line("*warning: mlflow*")
    found = tracked(server.address)
    runs = sorted(path.parent for path in (project / "runs").glob("[!.]*/record.json"))
    assert set(found) == {run.name for run in runs}
    for folder in runs:
        run = found[folder.name]
        assert run.info.status == "FINISHED"
        record = json.loads((folder / "record.json").read_text())
        verdicts = json.loads((folder / "verdicts.json").read_text())
        for gate in verdicts["gates"]:
            name = f"gate/{gate['gate']}" + (f"/{gate['slice']}" if gate["slice"] else "")
            estimate = gate["estimate"]
            assert run.data.metrics[name] == estimate["value"]
            assert run.data.metrics[f"{name}.low"] == estimate["low"]
            assert run.data.metrics[f"{name}.high"] == estimate["high"]
            bounds = f"95%: {estimate['low']:.4g} to {estimate['high']:.4g}"
            assert run.data.tags[f"interval/{name}"].startswith(bounds)
            assert run.data.tags[f"outcome/{name}"].startswith(gate["outcome"])
        for label, number in verdicts["measured"].items():
            assert run.data.metrics[f"measured/{label}"] == number["value"]
        assert run.data.tags["evalkit.may_ship"] == str(verdicts["may_ship"]).lower()
        assert run.data.tags["evalkit.criteria_sha256"] == verdicts["criteria_sha256"]
        assert run.data.params["system"] == record["system"]
        assert run.data.params["data_sha256"] == record["data"]["sha256"]
        client = client_of(server.address)
        for name in ("predictions.jsonl", "record.json", "verdicts.json"):
            kept = client.download_artifacts(run.info.run_id, name, str(tmp_path))
            assert Path(kept).read_bytes() == (folder / name).read_bytes()
        kept_names = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert ("report.html" in kept_names) == (folder / "report.html").is_file()
    assert {run.data.params["system"] for run in found.values()} == {"mine", "other"}

    # A stored run, judged again.
    (folder,) = (folder for folder in runs if folder.name.endswith("other"))
    stored = folder.rename(folder.with_name("20260101T000000Z-stored"))
    (stored / "report.html").write_text("<html>")
    assert judge(pytester, "--run", stored.name, "--track", "mlflow").ret == 0
    run = tracked(server.address)[stored.name]
    assert run.data.tags["evalkit.verdict"] == "may ship"
    kept_names = {file.path for file in client.list_artifacts(run.info.run_id)}
    assert {"report.html", "predictions.jsonl"} <= kept_names


def test_a_server_that_is_down_changes_no_verdict(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch, port: int
):
    address = f"http://127.0.0.1:{port}"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", address.replace("//", "//me:secret@"))
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    for system, code in (("other", 0), ("mine", 1)):
        found = judge(pytester, "--model", system, "--track", "mlflow")
        assert found.ret == code
        told = [line for line in found.outlines if "was not tracked" in line]
        assert len(told) == 1
        assert told[0].startswith(f"warning: mlflow: {system} was not tracked, and the verdict")
        assert f"{address}: ConnectionRefusedError" in told[0]
        assert "pytest suites --run runs/2" in told[0]
        assert "secret" not in found.stdout.str() + found.stderr.str()
        found.stdout.fnmatch_lines([f"*{system} may *ship: *"])
    assert len(list((project / "runs").glob("[!.]*/verdicts.json"))) == 2


def test_a_server_that_dies_on_the_way_changes_no_verdict(
    pytester: pytest.Pytester,
    project: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    mlflow: Any,
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server.address)
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    begin, begun = mlflow.start_run, []

    def begin_and_die(**options: Any) -> Any:
        run = begin(**options)
        begun.append(run)
        server.stop()
        return run

    monkeypatch.setattr(mlflow, "start_run", begin_and_die)
    again = judge(pytester, "--model", "other", "--track", "mlflow")
    assert again.ret == 0
    assert sum("warning: mlflow: other was not tracked" in line for line in again.outlines) == 1
    assert len(begun) == 1
    assert mlflow.active_run() is None


def test_without_mlflow_nothing_is_begun(
    pytester: pytest.Pytester, project: Path, monkeypatch: pytest.MonkeyPatch
):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *at: None if name == "mlflow" else find(name, *at)
    )
    found = judge(pytester, "--model", "mine", "--track", "mlflow")
    assert found.ret == 4
    found.stderr.fnmatch_lines(["*pip install 'pytest-evalkit[[]mlflow]'*"])
    assert not (project / "runs").exists()
