"""The suite of unseen folders as a black box: what a system would say, verdicts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import transformers  # noqa: F401

import gate_imports  # noqa: F401
import tiny_models

ROOT = Path(__file__).parents[1]
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nbase = "base"\nadapter = false\n'
SCRIPTED = '''
import json

import pytest

from evalkit.run_record import RunRecord
from evalkit.data import load_dataset
from evalkit.evaluation import evaluate
from evalkit.formats import get_format
from evalkit.records import Completion, FinishReason

pytestmark = pytest.mark.usefixtures("few_tokens")

TRAINED = ("Work", "Personal", "Promotions", "Alerts")


def read_the_prompt(folders, right):
    return right


def prefer_trained_names(folders, right):
    """Half of the cases go to a trained name where there is one."""
    prefer_trained_names.calls += 1
    pulled = prefer_trained_names.calls % 2 and right not in TRAINED and "Alerts" in folders
    return "Alerts" if pulled else right


prefer_trained_names.calls = 0


def know_only_trained_names(folders, right):
    return right if right in TRAINED else "Alerts"


def evaluated(task, examples):
    folders = task.fields["folder"].labels
    texts = {
        e.id: json.dumps({"folder": HOW(folders, e.labels["folder"]), "priority": 1})
        for e in examples
    }
    completions = {name: Completion(text, FinishReason.STOP) for name, text in texts.items()}
    fmt = get_format("json", task)
    return evaluate("tiny", task, fmt, examples, completions, record=RunRecord())


@pytest.fixture(scope="session")
def evaluation(system_under_test):
    rows = load_dataset("fixtures/notifications/test.jsonl", system_under_test.task).examples
    return evaluated(system_under_test.task, rows)


@pytest.fixture(scope="session")
def ask():
    return lambda name, examples, *, task: evaluated(task, examples)
'''


@pytest.fixture
def root(pytester: pytest.Pytester) -> Path:
    """A user's repository."""
    ignored = shutil.ignore_patterns("__pycache__")
    for folder in ("suites", "fixtures"):
        shutil.copytree(ROOT / folder, pytester.path / folder, ignore=ignored)
    return pytester.path


def run(pytester: pytest.Pytester, root: Path, how: str) -> pytest.RunResult:
    """Run the suite on a system that answers in a certain way."""
    tiny_models.save_base(root / "adapters" / "tiny" / "base")
    (root / "adapters" / "tiny" / "system.toml").write_text(SYSTEM)
    (root / "suites" / "conftest.py").write_text(f"{SCRIPTED}\n\nHOW = {how}\n")
    return pytester.runpytest_inprocess(
        "suites/test_unseen_folders.py", "--model", "tiny", "-p", "no:cacheprovider", "-v"
    )


def test_who_reads_the_prompt_passes(pytester: pytest.Pytester, root: Path) -> None:
    run(pytester, root, "read_the_prompt").assert_outcomes(passed=5)


def test_a_name_bias_is_found(pytester: pytest.Pytester, root: Path) -> None:
    result = run(pytester, root, "prefer_trained_names")
    result.assert_outcomes(passed=4, failed=1)
    # Of 110 cases of five folders every other one is pulled away.
    result.stdout.fnmatch_lines(
        [
            "folder_name_bias  50.0%  (n=110*",
            "*50.0% after 100.0%; 55 lost, 0 won; *read as Alerts*",
        ]
    )


def test_who_knows_only_trained_names_has_no_bias_to_measure(
    pytester: pytest.Pytester, root: Path
) -> None:
    result = run(pytester, root, "know_only_trained_names")
    result.assert_outcomes(failed=5)
    result.stdout.fnmatch_lines_random(
        [
            "unseen_folder_accuracy?Finance to Travel?  0.0%  (0/110*",
            "unseen_folder_accuracy?Education to Food?  0.0%  (0/110*",
            "out_of_enum_rate?unseen folders?  100.0%  (235/235*",
            "renamed_folders_loss  100.0%  (n=200*",
            "INCONCLUSIVE: folder accuracy lost: 0.0% right before, *guessing one of 5*",
        ]
    )


def test_what_reads_no_prompt_is_not_asked(pytester: pytest.Pytester, root: Path) -> None:
    (root / "adapters" / "recorded").mkdir(parents=True)
    (root / "adapters" / "recorded" / "system.toml").write_text(
        'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'
    )
    (root / "adapters" / "recorded" / "a.jsonl").write_text('{"id": "x", "text": "y"}\n')
    result = pytester.runpytest_inprocess(
        "suites/test_unseen_folders.py", "--model", "recorded", "-p", "no:cacheprovider"
    )
    assert result.parseoutcomes() == {"skipped": 5}
