"""The whole way on real weights: `evalkit fetch smollm2-3level` has to have been run."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

import gate_imports  # noqa: F401
from evalkit.data import load_dataset
from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import build_engine
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.evaluation import build_requests
from evalkit.systems import load_system, missing_parts
from evalkit.weights.cache import cache_root

pytestmark = [pytest.mark.weights, pytest.mark.usefixtures("few_tokens")]

ROOT = Path(__file__).parents[1]
SHELF = ROOT / "adapters"
CACHE = cache_root()
DATA = ROOT / "fixtures" / "notifications" / "test.jsonl"


@pytest.fixture(scope="module", autouse=True)
def _weights_are_here() -> None:
    missing = missing_parts(load_system("smollm2-3level", SHELF))
    if missing:
        pytest.fail("\n".join(missing))


def test_the_engine_writes_what_generate_writes() -> None:
    import torch

    system = load_system("smollm2-3level", SHELF)
    engine = build_engine(system, EngineOptions("cpu", "fp32", 4))
    assert isinstance(engine, TransformersEngine)
    rows = load_dataset(str(DATA), system.task, limit=2).examples
    requests = list(build_requests(system.task, system.format, rows))
    ours = dict(engine.complete(requests))
    assert engine.passes < 4 * len(requests), "most guesses are right"
    assert len({ours[r.id].text for r in requests}) > 1
    for request in requests:
        prompt = engine.chat.encode_prompt(request.prompt)
        out = engine.model.generate(  # type: ignore[operator]
            input_ids=torch.tensor([prompt]),
            attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
            do_sample=False,
            max_new_tokens=24,
            eos_token_id=sorted(engine.chat.stop_ids),
        )[0, len(prompt) :].tolist()
        stop = next(i for i, token in enumerate(out) if token in engine.chat.stop_ids)
        assert tuple(out[:stop]) == ours[request.id].token_ids


# All that is asked of a real model costs a minute. What the parts of a run are made of shows in a
# few of them, and in what is asked of the base alone.
ASKED = "test_outputs or not level-base and (test_forgetting or values_under or typo or gemma)"


def test_a_run_on_real_weights_is_stored_with_all_that_identifies_it(
    pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A row of the project's own, within this process, which has loaded torch; and by the base."""
    monkeypatch.chdir(ROOT)
    monkeypatch.setenv("EVALKIT_CACHE", str(CACHE))  # pytester gives it another home
    given = (f"--rootdir={ROOT}", "-c", "pyproject.toml", "-p", "no:cacheprovider")
    models = ("--model", "smollm2-3level", "--model", "smollm2-3level-base")
    asked = ("suites", *models, "--limit", "1", "--runs", str(tmp_path), "-k", ASKED)
    done = pytester.runpytest_inprocess(*asked, *given)
    # One row is too few for any gate.
    assert done.ret == 1
    assert "smollm2-3level-base: 0 of 2 gates passed" in done.stdout.str()
    (folder,) = tmp_path.glob("*-smollm2-3level")
    record = json.loads((folder / "record.json").read_text())
    provenance = json.loads((SHELF / "smollm2-3level" / "provenance.json").read_text())
    for key in ("weights_sha256", "prompt_sha256", "task_sha256", "format", "base"):
        assert record[key] == provenance[key], key
    assert set(record["trained_sha256"]) == {"adapter_config.json", "adapter_model.safetensors"}
    assert record["contamination"]["status"] == "checked"
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert all(row["margin"] >= 0 for row in rows)
    assert all(set(row["confidences"]) == {"folder", "priority"} for row in rows)
    assert record["engine"]["engine"] == "transformers"
    assert record["data"]["rows"] == len(rows) == 1
    parts = {path.parent.name for path in folder.glob("asked/*/record.json")}
    assert parts > {"forgetting-base", "forgetting-texts", "changed-typo"}
    assert parts > {"new-names-for-folder", "attacked-fake-gemma-turn"}
    assert str(ROOT) not in (folder / "record.json").read_text()
    (alone,) = tmp_path.glob("*-smollm2-3level-base")
    assert json.loads((alone / "record.json").read_text())["trained_sha256"] == {}
