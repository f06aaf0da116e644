"""The suites of robustness and repeatability as a black box: a system, rows, verdicts."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest
import transformers  # noqa: F401

import gate_imports  # noqa: F401
import tiny_models

pytestmark = pytest.mark.usefixtures("few_tokens")

SUITES = Path(__file__).parents[1] / "suites"
KEYWORDS = 'task = "intents"\nformat = "labels"\nengine = "keyword"\n'
TINY = 'task = "intents"\nformat = "labels"\nbase = "base"\nadapter = false\n'
REPLAY = 'task = "intents"\nformat = "labels"\nengine = "replay"\nanswers = "a.jsonl"\n'
REQUESTS = {
    "order_management": "Cancel my order: {}.",
    "payment": "Refund this payment: {}.",
    "user_auth": "Password lost, {}.",
    "inventory": "Is {} still in stock?",
}


def _words(seed: int) -> str:
    """Made-up words that say nothing, so that rows are no near-duplicates."""
    draw = Random(seed)
    return " ".join("".join(draw.choices("kqvwxyz", k=7)) for _ in range(9))


class Project:
    """A user's repository with rows of the intents task."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester = pytester
        self.root = pytester.path
        shutil.copytree(SUITES, self.root / "suites", ignore=shutil.ignore_patterns("__pycache__"))
        self.rows = [
            {"id": f"{intent}-{n}", "prompt": text.format(_words(n)), "output": [intent]}
            for start, (intent, text) in enumerate(REQUESTS.items())
            for n in range(start, 120, len(REQUESTS))
        ]
        self.write("fixtures/intents/test.jsonl", *map(json.dumps, self.rows))

    def write(self, path: str, *lines: str) -> None:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text("\n".join(lines) + "\n")

    def run(
        self, suite: str, system: str, *options: str
    ) -> tuple[pytest.RunResult, dict[str, dict]]:
        """Run one suite; return what pytest said, and the verdicts by gate and slice."""
        result = self.pytester.runpytest_inprocess(
            f"suites/test_{suite}.py", "--model", system, "-rs", "-p", "no:cacheprovider", *options
        )
        (found,) = (self.root / "runs").glob("[!.]*-*/verdicts.json")
        gates = json.loads(found.read_text())["gates"]
        return result, {f"{gate['gate']}[{gate['slice']}]": gate for gate in gates}


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def test_a_baseline_is_shaken_and_attacked(project: Project) -> None:
    project.write("adapters/keywords/system.toml", KEYWORDS)
    result, gates = project.run("robustness", "keywords")
    # App names do not apply to this task, and no keyword is read from the prompt's list.
    assert result.parseoutcomes()["skipped"] == 2
    result.stdout.fnmatch_lines(["*this edit changes no row: app-name*"])
    assert gates["flip_rate[case]"]["outcome"] == "pass"
    assert gates["flip_rate[emoji]"]["estimate"]["n"] == 100
    # Keywords are not found in full-width letters, and any keyword in a text is believed.
    assert gates["flip_rate[full-width]"]["outcome"] == "fail"
    assert gates["flip_rate[full-width]"]["weakest"].startswith("intents ")
    assert gates["attack_success_rate[fake-answer]"]["outcome"] == "fail"
    assert gates["accuracy_under_changes[intents]"]["against"]["n"] == 500
    assert gates["attacked_format_violations[]"]["estimate"]["n"] == 350
    assert gates["out_of_enum_rate[attacked]"]["outcome"] == "pass"


def test_recorded_answers_are_not_taken_for_answers_to_changed_rows(project: Project) -> None:
    lines = [json.dumps({"id": row["id"], "text": row["output"][0]}) for row in project.rows]
    project.write("adapters/recorded/a.jsonl", *lines)
    project.write("adapters/recorded/system.toml", REPLAY)
    result = project.pytester.runpytest_inprocess(
        "suites/test_robustness.py", "--model", "recorded", "-p", "no:cacheprovider"
    )
    assert result.parseoutcomes().get("passed", 0) == 0
    assert "skipped" in result.parseoutcomes()


def test_a_language_model_is_asked_again(project: Project) -> None:
    project.write("adapters/tiny/system.toml", TINY)
    tiny_models.save_base(project.root / "adapters" / "tiny" / "base")
    result, gates = project.run(
        "repeatability", "tiny", "--limit", "8", "--precision", "fp32", "--durations=3"
    )
    # These gates need more rows, but what can be said of so few is said.
    for way in ("one-by-one", "reversed", "padded"):
        for name in ("answer_instability", "clear_differences"):
            estimate = gates[f"{name}[{way}]"]["estimate"]
            assert estimate["successes"] == 0
            # In a padded batch the long row has one of the eight places.
            assert estimate["n"] == (7 if way == "padded" else 8)
    result.stdout.fnmatch_lines(["*there is no other device*"])
    # Five parts of four names, of which the slowest three are shown: 8 rows, three times, and 8.
    result.stdout.re_match_lines([r" *phase +rows +known .*of peak", r" *all +32 +0 .*%"])


def test_a_baseline_is_not_asked_again(project: Project) -> None:
    project.write("adapters/keywords/system.toml", KEYWORDS)
    result = project.pytester.runpytest_inprocess(
        "suites/test_repeatability.py", "--model", "keywords", "-p", "no:cacheprovider"
    )
    assert result.parseoutcomes().get("passed", 0) == 0
