"""The suite of whole prompts as a black box: a prompt beyond the model's context is counted."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import transformers  # noqa: F401

import gate_imports  # noqa: F401
import tiny_models

pytestmark = pytest.mark.usefixtures("few_tokens")

ROOT = Path(__file__).parents[1]
SYSTEM = 'task = "intents"\nformat = "labels"\nbase = "base"\nadapter = false\n'


@pytest.mark.parametrize(("words", "shown"), [(1, "PASS*0.0%"), (300, "FAIL*50.0%")])
def test_a_prompt_beyond_the_context_fails(
    words: int, shown: str, pytester: pytest.Pytester
) -> None:
    system = pytester.path / "adapters" / "tiny"
    tiny_models.save_base(system / "base")
    # All prompts of the task's own instructions are shorter than this, and the long one is not.
    config = system / "base" / "config.json"
    config.write_text(
        json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": 2048})
    )
    (system / "system.toml").write_text(SYSTEM)
    pytester.mkdir("suites")
    shutil.copy(ROOT / "suites" / "test_prompts.py", pytester.path / "suites")
    criterion = "[truncated_prompts]\nmax_value = 0.0\nmin_cases = 2\nwhy = 'a test'\n"
    (pytester.path / "suites" / "gates.toml").write_text(criterion)
    prompts = ["Where is my parcel?", "很长 " * words]
    rows = [{"id": str(n), "prompt": said, "output": ["payment"]} for n, said in enumerate(prompts)]
    (pytester.path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    result = pytester.runpytest_inprocess(
        *("suites/", "--model", "tiny", "--data", "rows.jsonl", "-p", "no:cacheprovider", "-v"),
        *("--precision", "fp32", "--device", "cpu"),
    )
    result.stdout.fnmatch_lines([f" truncated_prompts*{shown}*"])
    note = "note: 1 of 2 prompts are longer than the model can see: up to "
    assert (note in result.stdout.str()) == (words > 1)
