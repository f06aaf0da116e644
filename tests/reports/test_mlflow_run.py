"""What is logged of a run, by the names that MLflow takes."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.reports import mlflow_run
from evalkit.reports.mlflow_run import Tracked, check_client, describe_run
from evalkit.run_record import RunRecord
from judged_runs import write_judged_run


@pytest.fixture(scope="module")
def validation() -> Any:
    """What MLflow itself refuses; loaded where it is asked."""
    return pytest.importorskip("mlflow.utils.validation", reason="mlflow is not installed")


def describe(folder: Path) -> tuple[Tracked, dict[str, Any], dict[str, Any]]:
    record, verdicts = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("record", "verdicts")
    )
    return describe_run(folder, RunRecord.model_validate(record), verdicts), record, verdicts


def test_every_number_with_its_interval(tmp_path: Path):
    folder = write_judged_run(tmp_path, seen=3)
    (folder / "report.html").write_text("x")
    found, record, verdicts = describe(folder)
    assert found.name == folder.name
    for gate in verdicts["gates"]:
        name = f"gate/{gate['gate']}" + (f"/{gate['slice']}" if gate["slice"] else "")
        estimate = gate["estimate"]
        assert found.metrics[name] == estimate["value"]
        assert found.metrics[f"{name}.low"] == estimate["low"]
        assert found.metrics[f"{name}.high"] == estimate["high"]
        bounds = f"95%: {estimate['low']:.4g} to {estimate['high']:.4g}"
        assert found.tags[f"interval/{name}"].startswith(bounds)
        assert found.tags[f"outcome/{name}"].startswith(gate["outcome"])
    assert found.tags["outcome/gate/accuracy"] == "fail (>= 0.8)"
    for label, number in verdicts["measured"].items():
        name = f"measured/{label}"
        assert found.metrics[name] == number["value"]
        everywhere = number["on_all_rows"]
        assert found.metrics.get(f"{name}.on_all_rows") == (everywhere and everywhere["value"])
    assert found.tags["evalkit.verdict"] == "may NOT ship"
    assert found.tags["evalkit.may_ship"] == "false"
    assert found.params["system"] == "mine"
    assert found.params["task"] == "notifications-3level"
    assert found.params["data_sha256"] == record["data"]["sha256"]
    assert found.params["decoding"] == "free"
    assert found.metrics["cost/load"] == 1.0
    assert {path.name for path in found.files} == {
        "report.html",
        "predictions.jsonl",
        "record.json",
        "verdicts.json",
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    """The record and the verdicts of a run."""
    return describe(write_judged_run(tmp_path_factory.mktemp("runs")))[1:]


@given(labels=st.lists(st.tuples(st.text(min_size=1), st.text()), min_size=1, max_size=6))
def test_any_name_becomes_one_that_mlflow_takes(
    plain: tuple[dict[str, Any], dict[str, Any]],
    validation: Any,
    labels: list[tuple[str, str]],
):
    record, verdicts = plain
    (gate, *_) = verdicts["gates"]
    gates = [{**gate, "gate": name, "slice": slice} for name, slice in labels]
    said = RunRecord.model_validate(record)
    found = describe_run(Path("run"), said, {**verdicts, "gates": gates, "measured": {}})
    assert sum(key.startswith("outcome/") for key in found.tags) == len(gates)
    numbers = {key.lower() for key in found.metrics if key.startswith("gate/")}
    assert len(numbers) == 3 * len(gates)
    for name in found.metrics:
        validation._validate_metric_name(name)
    for name, text in found.tags.items():
        validation._validate_tag(name, text)
    for name, text in found.params.items():
        validation._validate_param(name, text)
    assert all(len(key) <= 250 for key in (*found.metrics, *found.tags))


def test_without_the_client_or_a_server_there_is_a_message(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "mlflow" or None)
    with pytest.raises(UserError, match="MLFLOW_TRACKING_URI names no server"):
        check_client()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://localhost:1")
    check_client()
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"pip install 'pytest-evalkit\[mlflow\]'"):
        check_client()


def test_settings_of_the_user_win(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "7")
    monkeypatch.delenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", raising=False)
    with mlflow_run._patience():
        assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
        assert os.environ["MLFLOW_HTTP_REQUEST_MAX_RETRIES"] == "2"
    assert os.environ["MLFLOW_HTTP_REQUEST_TIMEOUT"] == "7"
    assert "MLFLOW_HTTP_REQUEST_MAX_RETRIES" not in os.environ
