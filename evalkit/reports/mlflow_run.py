"""A judged run as a run of MLflow: parameters, metrics, tags, files.

MLflow's names hold letters, digits, `_`, `-`, `.`, `:`, spaces and slashes, and a page groups them
by what is before the slash. So the number of a gate is `gate/NAME`, of a slice
`gate/NAME/SLICE`, and a usual number `measured/NAME`; `.low` and `.high` behind it are the bounds
of its 95% interval. Every other character of a name, and a dot in it, becomes `_`; of two names
that would then be one, the later gets a number behind it. Values are as they are counted: a share
is 0.63 and not 63%.
"""

from __future__ import annotations

import contextlib
import math
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from evalkit.errors import UserError
from evalkit.gates import verdict_in_words
from evalkit.printable import printable
from evalkit.run_record import RunRecord

_T = TypeVar("_T")
MISSING = "--track mlflow needs MLflow's client: pip install 'pytest-evalkit[mlflow]'"
FILES = ("report.html", "predictions.jsonl", "record.json", "verdicts.json")
"""What of a run's folder is kept with MLflow, where it is there."""
PATIENCE = {
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
"""A server that is down is not waited for as long as MLflow would, unless the user says so."""
_NO_NAME = re.compile(r"[^\w\- ]")
_LONGEST_NAME, _LONGEST_TEXT = 200, 500


@dataclass(frozen=True)
class Tracked:
    """What is logged of a run."""

    name: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    files: tuple[Path, ...]


@dataclass
class _Names:
    """Names as MLflow takes them, each given once."""

    given: set[str] = field(default_factory=set)

    def new(self, *parts: str) -> str:
        plain = "/".join(_NO_NAME.sub("_", part).strip() or "_" for part in parts)[:_LONGEST_NAME]
        name, number = plain, 1
        # Some databases do not tell capitals from small letters.
        while name.lower() in self.given:
            number += 1
            name = f"{plain}_{number}"
        self.given.add(name.lower())
        return name


def describe_run(folder: Path, record: RunRecord, verdicts: Mapping[str, Any]) -> Tracked:
    """What is logged of a run."""
    names = _Names()
    metrics: dict[str, float] = {}
    tags = {
        "evalkit.run": printable(folder.absolute().name),
        "evalkit.verdict": verdict_in_words(verdicts["may_ship"], verdicts["partial"]),
        "evalkit.may_ship": str(verdicts["may_ship"]).lower(),
        "evalkit.criteria_sha256": verdicts["criteria_sha256"],
        "evalkit.predictions_sha256": verdicts["predictions_sha256"],
    }

    def take(name: str, estimate: Mapping[str, Any]) -> None:
        bounds = {f"{name}.low": estimate["low"], f"{name}.high": estimate["high"]}
        found = {name: estimate["value"], **bounds}
        metrics.update({key: number for key, number in found.items() if math.isfinite(number)})
        shown = f"95%: {estimate['low']:.4g} to {estimate['high']:.4g}"
        tags[f"interval/{name}"] = f"{shown} (n={estimate['n']}, {estimate['method']})"
        if estimate.get("on_all_rows"):
            metrics[f"{name}.on_all_rows"] = estimate["on_all_rows"]["value"]

    for gate in verdicts["gates"]:
        name = names.new("gate", gate["gate"], *([gate["slice"]] if gate["slice"] else []))
        take(name, {**gate["estimate"], "on_all_rows": gate["on_all_rows"]})
        tags[f"outcome/{name}"] = f"{gate['outcome']} ({_bound(gate['policy'])})"
    for label, estimate in verdicts["measured"].items():
        take(names.new("measured", label), estimate)
    for key, number in {**record.cost.to_json(), **record.seconds.to_json()}.items():
        if isinstance(number, int | float):
            metrics[names.new("cost", key)] = number
    return Tracked(
        folder.absolute().name,
        _params(record),
        metrics,
        {key: printable(text, _LONGEST_TEXT) for key, text in tags.items()},
        tuple(path for name in FILES if (path := folder / name).is_file()),
    )


def check_client() -> None:
    """Before anything is loaded: can a run be logged at all?

    Raises:
        UserError: no, and what to do.
    """
    from importlib.util import find_spec

    if find_spec("mlflow") is None:
        raise UserError(MISSING)
    if "MLFLOW_TRACKING_URI" not in os.environ and find_spec("sqlalchemy") is None:
        raise UserError(
            "--track mlflow: MLFLOW_TRACKING_URI names no server. Set it, such as "
            "http://localhost:5000; `mlflow server` of the full package starts one."
        )


def log_run(tracked: Tracked) -> str:
    """Log a run with MLflow's client, under its own settings, and return where it lies.

    Raises:
        Exception: whatever MLflow or its connection raises.
    """
    with _patience():
        import mlflow
        from mlflow.entities import Metric, Param, RunTag
        from mlflow.tracking import MlflowClient

        with mlflow.start_run(run_name=tracked.name) as run:
            client, id = MlflowClient(), run.info.run_id
            now = run.info.start_time
            # A request holds 1,000 metrics, 100 parameters or 100 tags at most.
            metrics = [Metric(name, value, now, 0) for name, value in tracked.metrics.items()]
            params = [Param(name, text) for name, text in tracked.params.items()]
            tags = [RunTag(name, text) for name, text in tracked.tags.items()]
            for numbers in _portions(metrics, 1000):
                client.log_batch(id, metrics=numbers)
            for facts in _portions(params, 100):
                client.log_batch(id, params=facts)
            for notes in _portions(tags, 100):
                client.log_batch(id, tags=notes)
            for path in tracked.files:
                client.log_artifact(id, str(path))
        return f"run {id} of experiment {run.info.experiment_id} at {mlflow.get_tracking_uri()}"


def _portions(items: Sequence[_T], size: int) -> Iterator[Sequence[_T]]:
    return (items[start : start + size] for start in range(0, len(items), size))


def _bound(policy: Mapping[str, Any]) -> str:
    bounds = {"min_value": ">=", "max_value": "<=", "min_difference": "difference >"}
    return ", ".join(
        f"{sign} {policy[name]:g}" for name, sign in bounds.items() if policy[name] is not None
    )


def _params(record: RunRecord) -> dict[str, str]:
    """What identifies a run, as far as it says so."""
    engine, data, known = record.engine, record.data, record.identity()
    names = ("base", "format", "task_sha256", "weights_sha256", "prompt_sha256")
    said: dict[str, Any] = {name: known[name] for name in (*names, "quantization", "commit")}
    said |= {"system": record.system, "task": record.asked_task.name}
    said |= {f"trained/{name}": hash for name, hash in record.trained_sha256.items()}
    said |= {
        f"engine/{name}": value
        for name, value in engine.items()
        if name != "decoding" and not isinstance(value, dict)
    }
    said["decoding"] = engine.get("decoding")
    said |= {"data": data.source, "data_sha256": data.sha256, "rows": data.rows}
    said |= {f"mapping/{name}": scheme for name, scheme in data.label_mappings.items()}
    said["contamination"] = record.contamination.status
    names_given = _Names()
    return {
        names_given.new(*name.split("/")): printable(str(value), _LONGEST_TEXT)
        for name, value in said.items()
        if value is not None
    }


@contextlib.contextmanager
def _patience() -> Iterator[None]:
    """MLflow's settings with ours where the user has none."""
    ours = {name: value for name, value in PATIENCE.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            os.environ.pop(name, None)
