"""The gate as a black box: a folder of suites, a system, an exit code."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

import command_line
import evalkit.reports.terminal
import evalkit.runs.runner
from command_line import Done
from evalkit.cli import main
from evalkit.data import Fingerprints, load_dataset
from evalkit.engines.pool import Engines
from evalkit.engines.replay import ReplayEngine
from evalkit.records import Request, Unanswered
from evalkit.reports.html.run_page import run_page
from evalkit.reports.judged import read_judged
from evalkit.tasks import load_task
from evalkit.weights import weights_fingerprint
from gate_imports import AS_THEY_ARE
from tiny_embeddings import save_embeddings

SUITES = Path(__file__).parents[1] / "suites"
BASELINE = 'task = "notifications-3level"\nformat = "json"\nengine = "tfidf"\n'
GATES = 17
SKIPPED = 43
"""Tests that a system which only recites is skipped by."""
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'
Answers = Iterator[tuple[str, Any]]
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
    done = command_line.evalkit("train", folder, "--data", data)
    assert done.returncode == 0, done.stderr
    return folder


class Project:
    """A user's repository, made for one test."""

    def __init__(self, pytester: pytest.Pytester, tfidf: Path) -> None:
        self.pytester = pytester
        self.root = pytester.path
        self.suites = self.root / "suites"
        self.kept = tfidf.parent
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

    def run(self, *arguments: str, **options: bool) -> pytest.RunResult:
        given = (*arguments, "-p", "no:cacheprovider", *AS_THEY_ARE)
        return self.pytester.runpytest_inprocess(*given, **options)

    @property
    def runs(self) -> list[Path]:
        """Of all systems but the baseline."""
        found = (self.root / "runs").glob("[!.]*-*/record.json")
        return sorted(p.parent for p in found if json.loads(p.read_text())["system"] != "tfidf")

    def verdicts(self) -> dict:
        (run,) = self.runs
        return json.loads((run / "verdicts.json").read_text())


@pytest.fixture
def project(pytester: pytest.Pytester, tfidf: Path) -> Project:
    made = Project(pytester, tfidf)
    made.write_rows()
    return made


def judged(project: Project, **wrong: int) -> list[str]:
    """Judge systems that give so many wrong answers; returns the lines that are said of them.

    From the second time on, it is all a copy of the first.
    """
    for name, answers in wrong.items():
        project.write_system(name, wrong=answers)
    runs = project.root / "runs"
    kept = project.kept / "-".join(f"{name}-{answers}" for name, answers in wrong.items())
    if not kept.is_dir():
        result = project.run("suites", *(word for name in wrong for word in ("--model", name)))
        verdicts = [json.loads((run / "verdicts.json").read_text()) for run in project.runs]
        assert result.ret == int(not all(found["may_ship"] for found in verdicts))
        shutil.copytree(runs, kept / "runs")
        (kept / "said").write_text("\n".join(result.outlines), encoding="utf-8")
    shutil.copytree(kept / "runs", runs, dirs_exist_ok=True)
    return (kept / "said").read_text(encoding="utf-8").split("\n")


def judged_run(project: Project, wrong: int = 0) -> Path:
    """The run of a system that was judged."""
    judged(project, mine=wrong)
    (run,) = project.runs
    return run


def test_nothing_is_released_on_dev_rows(project: Project) -> None:
    test_rows = project.data.read_bytes()
    project.write_system()
    project.data.rename(project.data.with_name("dev.jsonl"))
    result = project.run("suites", "--model", "mine", "--split", "dev")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*mine may NOT ship: dev*", "*of fixtures/notifications/dev.jsonl;*"]
    )
    (run,) = project.runs
    assert json.loads((run / "record.json").read_text())["data"]["split"] == "dev"
    verdicts = project.verdicts()
    assert {gate["outcome"] for gate in verdicts["gates"]} == {"pass"}
    assert verdicts["may_ship"] is False

    # A stored run stays what it is, whatever is asked of it.
    project.data.write_bytes(test_rows)
    result = project.run("suites", "--run", str(run), "--split", "test")
    assert result.ret == 1
    assert "dev rows" in project.verdicts()["faults"][0]


def test_a_good_system_ships_with_exit_0(project: Project) -> None:
    project.write_system(wrong=20)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines([f"*mine may ship: all {GATES} gates passed.*"])
    verdicts = project.verdicts()
    assert verdicts["may_ship"] is True
    (accuracy,) = [g for g in verdicts["gates"] if g["gate"] == "priority_accuracy"]
    assert accuracy["estimate"]["successes"] == 220


def test_a_gate_leaves_its_report_and_names_it_last(project: Project) -> None:
    project.write_system(wrong=60)
    result = project.run("suites", "--model", "mine")
    (run,) = project.runs
    assert result.outlines[-2:] == [
        f"report: runs/{run.name}/report.html",
        "all runs: runs/index.html",
    ]
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "may NOT ship" in page
    assert run.name in (run.parent / "index.html").read_text(encoding="utf-8")
    # It is the page that `evalkit report` writes of the stored run.
    assert run_page(read_judged(Path("runs", run.name))) == page


def test_a_report_that_cannot_be_written_changes_no_verdict(project: Project) -> None:
    project.write_system(wrong=20)
    (project.root / "runs" / "index.html").mkdir(parents=True)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*mine may ship: *", "all runs: not written. *cannot be written*"])
    assert project.verdicts()["may_ship"] is True


def test_systems_of_one_task_are_compared_on_a_page(project: Project) -> None:
    assert "comparison: runs/comparison-good-vs-bad.html" in judged(project, good=0, bad=60)
    assert (project.root / "runs" / "comparison-good-vs-bad.html").is_file()


def test_a_base_that_the_last_system_changed_leaves_nothing_judged(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def changed(engines: Engines) -> None:
        raise RuntimeError("a system's turn changed w of the shared base")

    monkeypatch.setattr(Engines, "close", changed)
    project.write_system()
    result = project.run("suites/test_outputs.py", "--model", "mine")
    assert result.ret == pytest.ExitCode.INTERNAL_ERROR
    assert "broke down after the last answer; nothing was judged" in result.stderr.str()
    assert not (project.runs[0] / "verdicts.json").exists()


def test_a_bad_one_fails_with_exit_1_and_evidence(project: Project) -> None:
    project.write_system(wrong=60)
    result = project.run("suites", "--model", "mine", "-v")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "priority_accuracy  75.0%  (180/240, 95% 69.2-80.1)  needs >= 80%  FAIL",
            "  asks: *",
            "*why this bound: *",
            "*weakest: * 75.0% (60/80); most often * read as * (20)",
            "*5 of 60 rows counted against it:",
            "*right: *predicted: *",
            "mine may NOT ship: misses priority 1 time in 4 (75.0%, needs >= 80%).",
        ]
    )
    verdicts = project.verdicts()
    assert verdicts["may_ship"] is False
    asked = {gate["gate"]: gate["asks"] for gate in verdicts["gates"]}
    assert asked["priority_accuracy"] == "The release criterion: four in five priorities right."
    assert all(asked.values())


def test_a_gate_that_fails_fits_on_a_screen(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    result = project.run("suites", "--model", "tfidf")
    assert result.ret == 1
    assert sum(-(-len(line) // 80) or 1 for line in result.outlines) <= 40
    failed = [gate for gate in json.loads(newest(project, "tfidf"))["gates"] if failing(gate)]
    assert len(failed) > 10
    shown = result.stdout.str().partition("release gate")[2]
    assert "FAILURES" not in result.stdout.str()
    assert shown.count("priority_accuracy") <= 1
    # Nothing is lost: with -v each of them is there, by the name of its value.
    (run,) = (path.parent.name for path in (project.root / "runs").glob("*-tfidf/verdicts.json"))
    whole = project.run("suites", "--run", run, "-v").stdout.str()
    for gate in failed:
        label = (
            f"{gate['gate']}[{gate['part'] or gate['slice']}]" if gate["slice"] else gate["gate"]
        )
        assert f" {label} " in whole.partition("release gate")[2]


def failing(gate: dict) -> bool:
    return gate["outcome"] == "fail"


def newest(project: Project, system: str) -> str:
    return sorted((project.root / "runs").glob(f"*-{system}/verdicts.json"))[-1].read_text()


def test_one_value_outside_the_enum_is_enough(project: Project) -> None:
    project.write_system(r5='{"folder": "Spam", "priority": 1}')
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*may NOT ship: 0.4% of its answers name a value that does not exist (needs 0).*"]
    )


def test_unreadable_answers_stay_in_the_denominator(project: Project) -> None:
    project.write_system(**{f"r{i}": "I cannot say." for i in range(60)})
    suites = ("suites/test_notifications.py", "suites/test_outputs.py")
    result = project.run(*suites, "--model", "mine", "-v")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["priority_accuracy  75.0%  (180/240,*", "*parse_failure_rate*25.0%*"]
    )


def test_too_few_cases_are_inconclusive_and_do_not_ship(project: Project) -> None:
    project.write_system()
    result = project.run("suites", "--model", "mine", "--limit", "24")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*inconclusive: 24 cases, and this gate needs 100 (field_accuracy*"]
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


def test_strict_mode_wants_the_whole_interval_and_says_how_many_cases_settle_it(
    project: Project,
) -> None:
    project.write_system(wrong=36)  # 85%, from 79.9%
    assert project.run("suites", "--model", "mine").ret == 0
    result = project.run("suites", "--model", "mine", "--gate-mode", "strict", "-v")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "  471 cases would settle it four times in five, if this value is the true one",
            " priority_accuracy *85.0% * 471 *INCONCLUSIVE*",
        ]
    )


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_test_set_exits_4(project: Project, text: str) -> None:
    project.write_system()
    project.data.write_text(text)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*holds no rows*"])


def test_an_empty_folder_of_suites_exits_4(project: Project) -> None:
    project.write_system()
    for path in project.suites.glob("test_*.py"):
        path.unlink()
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*No test that was collected is for 'mine'*"])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["suites", "-k", "nothing"], "*No test is chosen by -k 'nothing'*"),
        (["suites", "-m", "slow"], "*No test is chosen by -m 'slow'*"),
        (["suitez"], "*not found: suitez. Did you mean 'suites'?*"),
        (["suites/test_outpts.py"], "*Did you mean 'suites/test_outputs.py'?*"),
    ],
)
def test_tests_that_are_not_there_exit_4(project: Project, arguments: list[str], said: str) -> None:
    project.write_system()
    result = project.run(*arguments, "--model", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines([said])


def test_some_of_the_rows_give_no_release(project: Project) -> None:
    project.write_system()
    result = project.run("suites", "--model", "mine", "--limit", "180")
    assert result.ret == 1
    result.assert_outcomes(passed=GATES, skipped=SKIPPED)
    result.stdout.fnmatch_lines(["*may NOT ship: partial: only the first 180 of 240 rows*"])


def test_rows_that_were_trained_on_do_not_count(project: Project) -> None:
    project.write_system(wrong=60)
    examples = load_dataset(str(project.data), load_task("notifications-3level")).examples
    path = project.root / "adapters" / "mine" / "contamination.bin"
    Fingerprints.of(examples[60:120]).save(path)
    result = project.run("suites", "--model", "mine", "-v")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "contamination *25.0%  (60/240,*FAIL",
            "priority_accuracy  66.7%  (120/180 clean rows,*FAIL",
            "*75.0% with the rows that it was trained on",
            "Test rows that repeat one of 60 training rows: 60 of 240 (60 exact). *",
        ]
    )
    measured = project.verdicts()["measured"]["priority accuracy"]
    assert (measured["successes"], measured["n"]) == (120, 180)
    assert measured["on_all_rows"]["successes"] == 180


def test_unknown_training_rows_are_inconclusive(project: Project) -> None:
    project.write_system()
    (project.root / "adapters" / "mine" / "contamination.bin").unlink()
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE: what it was trained on is not known*",
            "*may NOT ship: not judged: contamination (what it was trained on is not known: *.bin "
            "is not there; `evalkit data fingerprint mine --data PATH` makes it).",
        ]
    )
    assert project.verdicts()["not_judged"] == ["contamination"]


def test_fingerprints_of_other_rows_are_not_believed(project: Project) -> None:
    examples = load_dataset(str(project.data), load_task("notifications-3level")).examples
    Fingerprints.of(examples[:9], data_sha256="0" * 64).save(project.tfidf / "contamination.bin")
    result = project.run("suites/test_contamination.py", "--model", "tfidf")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["INCONCLUSIVE: *is of other rows than provenance*"])


def test_damaged_fingerprints_exit_4(project: Project) -> None:
    project.write_system()
    (project.root / "adapters" / "mine" / "contamination.bin").write_bytes(b"x")
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*contamination.bin is damaged*"])


def test_no_better_than_tfidf_does_not_ship(project: Project) -> None:
    project.write_system(wrong=240)
    result = project.run("suites/test_baseline.py", "--model", "mine", "-v")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["beats_tfidf?priority? vs *  -*needs > 0  FAIL"])


def test_without_a_baseline_that_is_inconclusive(project: Project) -> None:
    project.write_system()
    shutil.rmtree(project.tfidf)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "INCONCLUSIVE: there is no TF-IDF baseline for task 'notifications-3level'*",
            "*not judged: beats_tfidf*",
        ]
    )


def test_the_baseline_itself_need_not_beat_itself(project: Project) -> None:
    result = project.run("suites", "--model", "tfidf", "-rs")
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "suites/test_baseline.py ss *",
            "Does not apply, as it is the TF-IDF baseline itself: beats_tfidf.",
        ]
    )


BEATS_EMBEDDINGS = """
def test_better_than_embeddings(evaluation, embeddings_baseline, gate):
    ours, theirs = evaluation.accuracy("priority"), embeddings_baseline.accuracy("priority")
    gate("beats_embeddings", ours.against(theirs))
"""


def test_a_baseline_of_embeddings_is_found_by_its_engine(project: Project) -> None:
    project.write_system()
    suite = project.suites / "test_embeddings.py"
    suite.write_text(BEATS_EMBEDDINGS)
    with (project.suites / "gates.toml").open("a") as criteria:
        criteria.write('\n[beats_embeddings]\nmin_difference = 0.0\nwhy = "words"\n')
    result = project.run(suite, "--model", "mine")
    result.stdout.fnmatch_lines(["INCONCLUSIVE: there is no embeddings baseline for task *"])

    save_embeddings(project.root / "words", {"work": ("meeting", "team")})
    folder = project.root / "adapters" / "embeddings"
    folder.mkdir()
    (folder / "system.toml").write_text(
        BASELINE.replace('"tfidf"', '"embeddings"\nbase = "../../words"')
        + '[recipe]\ndata = "train.jsonl"\nc = 1\nclass_weight = "none"\n'
    )
    data = project.tfidf.parents[1] / "train.jsonl"
    write_rows(data, 48, seed=1)
    done = command_line.evalkit("train", folder, "--data", data)
    assert done.returncode == 0, done.stderr
    result = project.run(suite, "--model", "mine", "-v")
    result.stdout.fnmatch_lines(["*beats_embeddings *PASS*"])
    (record,) = (
        found
        for path in (project.root / "runs").glob("*-embeddings/record.json")
        for found in [json.loads(path.read_text())]
    )
    assert record["weights_sha256"] == weights_fingerprint(project.root / "words")


def test_ctrl_c_while_it_is_being_loaded_ends_in_a_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalkit.pytest_plugin._open", interrupted)
    with pytest.raises(SystemExit) as stop:
        pytest.main(["suites", "--model", "mine"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == "\ninterrupted before anything was asked\n"
    monkeypatch.setattr(sys, "argv", ["evalkit", "gate", "mine"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2


def test_ctrl_c_while_systems_are_looked_up_ends_in_a_line(
    project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupted(_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("evalkit.pytest_plugin.session.GateSession.find_subjects", interrupted)
    assert pytest.main(["suites", "--model", "mine"]) == 2
    assert capsys.readouterr().err == "\ninterrupted before anything was asked\n"


def test_rows_under_another_ending_are_named(project: Project) -> None:
    project.write_system()
    project.data.rename(project.data.with_suffix(".csv"))
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*Did you mean --data fixtures/notifications/test.csv?"])


def test_a_stored_run_is_judged_again_without_its_system(project: Project) -> None:
    run = judged_run(project, wrong=20)
    shutil.rmtree(project.root / "adapters" / "mine")
    assert project.run("suites", "--run", run.name).ret == 0
    assert project.verdicts()["may_ship"] is True
    gates = project.suites / "gates.toml"
    gates.write_text(gates.read_text().replace("min_value = 0.80", "min_value = 0.95"))
    moved = project.root / "elsewhere" / run.name
    shutil.move(run, moved)
    result = project.run("suites", "--run", str(moved))
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*mine may NOT ship: misses priority 1 time in 12 (91.7%, needs >= 95%).*",
            "all runs: elsewhere/index.html",
        ]
    )
    assert json.loads((moved / "verdicts.json").read_text())["may_ship"] is False


def test_one_edited_byte_is_refused(project: Project) -> None:
    run = judged_run(project)
    path = run / "predictions.jsonl"
    path.write_text(path.read_text().replace('"priority": 3', '"priority": 2', 1))
    result = project.run("suites", "--run", str(run))
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["mine may NOT ship: *predictions.jsonl was changed after the run. Run it again."]
    )
    result.assert_outcomes()


def test_half_a_run_is_refused(project: Project) -> None:
    run = judged_run(project)
    path = run / "predictions.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:100]))
    result = project.run("suites", "--run", str(run))
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        ["*may NOT ship: *predictions.jsonl has 100 of the run's 240 rows*"]
    )


def test_a_run_of_rows_that_have_changed_since_is_stale(project: Project) -> None:
    run = judged_run(project)
    project.data.write_text(project.data.read_text().replace(word(project, 5), "another"))
    result = project.run("suites", "--run", str(run))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*may NOT ship: stale: *test.jsonl now holds other rows*"])
    result.assert_outcomes()


def test_the_baselines_own_run_can_be_judged_again(project: Project) -> None:
    project.write_system()
    text = project.data.read_text()
    for low, high in ((3, 5), (2, 3)):  # five levels, which are mapped to the task's three
        text = text.replace(f'"priority": {low}}}', f'"priority": {high}}}')
    project.data.write_text(text)
    assert project.run("suites", "--model", "mine").ret == 0
    (run,) = (project.root / "runs").glob("*-tfidf")
    result = project.run("suites", "--run", str(run))
    assert result.ret == 1
    result.stdout.fnmatch_lines(["tfidf may NOT ship: * of * gates failed*"])
    both = project.run("suites", "--run", str(run), "--run", str(project.runs[0]))
    both.stdout.fnmatch_lines(["*tfidf may NOT ship*", "*mine may ship*", "all fields right: *"])


def test_a_run_that_is_not_there_exits_4(project: Project) -> None:
    result = project.run("suites", "--run", "none")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*There is no run 'none'*"])


def test_a_regression_does_not_ship_even_above_the_threshold(project: Project) -> None:
    run = judged_run(project)
    keep = ["baseline", "set", run.name, "--name", "last"]
    assert "replaces" not in evalkit(project, *keep).stdout
    again = evalkit(project, *keep)
    assert again.returncode == 0
    assert "It replaces the baseline that was there: a run of mine, 20" in again.stdout
    shutil.rmtree(project.root / "adapters" / "mine")
    project.write_system(wrong=24)  # 90%
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result = project.run("suites", "--model", "mine", "--against", "last")
    assert result.ret == 1
    result.assert_outcomes(passed=GATES, skipped=SKIPPED)
    result.stdout.fnmatch_lines(
        [
            "*may NOT ship: 5 worse than the baseline (field_accuracy?priority? -10.0 points, *",
        ]
    )
    newest = json.loads((project.runs[-1] / "verdicts.json").read_text())
    regressed = [entry["gate"] for entry in newest["regressions"]]
    recalls = [f"priority_recall[{i}]" for i in (1, 2, 3)]
    assert regressed == ["field_accuracy[priority]", "priority_accuracy", *recalls]
    # The same again is no regression.
    assert project.run("suites", "--run", run.name, "--against", "last").ret == 0


def test_what_is_not_critical_does_not_block_and_a_lowered_tier_is_told(project: Project) -> None:
    run = judged_run(project)
    assert evalkit(project, "baseline", "set", run.name, "--name", "last").returncode == 0
    shutil.rmtree(project.root / "adapters" / "mine")
    project.write_system(wrong=60)  # 75%
    gates = project.suites / "gates.toml"
    text = gates.read_text()
    head = "[priority_accuracy]\n"
    assert head in text
    gates.write_text(text.replace(head, f'{head}tier = "supporting"\n'))
    result = project.run("suites", "--model", "mine", "--against", "last", "-v")
    newest = json.loads((project.runs[-1] / "verdicts.json").read_text())
    assert newest["did_not_block"] == {"priority_accuracy": "supporting"}
    lowered = "its tier was lowered since last: priority_accuracy was critical and is supporting"
    assert newest["caveats"] == [lowered]
    result.stdout.fnmatch_lines(
        [
            "*1 did not pass and do not block (priority_accuracy 75.0% fail, supporting)*",
            f"note: {lowered}",
            "*priority_accuracy (supporting) *FAIL*75.0%*",
        ]
    )


def test_a_relative_bound_is_held_against_the_run_that_is_named(project: Project) -> None:
    run = judged_run(project)
    assert evalkit(project, "baseline", "set", run.name, "--name", "last").returncode == 0
    shutil.rmtree(project.root / "adapters" / "mine")
    project.write_system(wrong=24)  # 90%
    with (project.suites / "gates.toml").open("a") as gates:
        gates.write('\n[kept]\nmin_relative_difference = "-20%"\nwhy = "x"\n')
    (project.suites / "test_kept.py").write_text(
        'def test_kept(evaluation, gate):\n    gate("kept", evaluation.accuracy("priority"))\n'
    )
    asked = ("suites/test_kept.py", "--model", "mine")
    result = project.run(*asked, "--against", "last")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["kept  PASS  *-10.0*> -20.0 (-20%)"])
    result = project.run(*asked)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*name the run that it is compared with: --against RUN*"])


def test_that_nothing_is_worse_is_said(project: Project) -> None:
    run = judged_run(project)
    result = project.run("suites/test_outputs.py", "--model", "mine", "--against", run.name)
    result.stdout.fnmatch_lines(["*none of 2 gates is significantly worse than mine*"])


def test_a_stored_run_shows_every_gate_on_demand_and_is_no_rows(project: Project) -> None:
    run = judged_run(project)
    brief, whole = (evalkit(project, "gate", run.name, *more).stdout for more in ([], ["-v"]))
    assert "-v: " in brief
    assert len(whole.splitlines()) > 2 * len(brief.splitlines())
    done = evalkit(project, "data", "errors", run.name)
    assert done.returncode == 4
    assert f"`evalkit errors {run.name}`" in done.stderr


def test_a_path_that_is_not_there_is_pytests_to_name(project: Project) -> None:
    project.write_system()
    result = project.run("elsewhere", "--model", "mine")
    assert result.ret == 4
    assert result.stderr.str().strip() == "ERROR: file or directory not found: elsewhere"


def test_a_baseline_of_other_rows_exits_4(project: Project) -> None:
    run = judged_run(project)
    assert evalkit(project, "baseline", "set", str(run)).returncode == 0
    project.write_rows(200)
    result = project.run("suites", "--model", "mine", "--against", "mine")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*different test sets*"])


def evalkit(project: Project, *arguments: str) -> Done:
    return command_line.evalkit(*arguments, cwd=project.root)


def test_the_command_line_judges_with_pytests_exit_codes(project: Project) -> None:
    run = judged_run(project, wrong=20)
    done = evalkit(project, "gate", run.name)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "mine may ship" in done.stdout
    gates = project.root / "strict.toml"
    text = (project.suites / "gates.toml").read_text()
    gates.write_text(text.replace("min_value = 0.80", "min_value = 0.95"))
    done = evalkit(project, "gate", run.name, "--gates", str(gates))
    assert done.returncode == 1
    assert f"replaced: may ship, as {run.name} was judged before" in done.stdout
    assert "mine may NOT ship: misses priority 1 time in 12 (91.7%, needs >= 95%)." in done.stdout
    assert evalkit(project, "gate", "none").returncode == 4


def test_two_runs_are_compared(project: Project) -> None:
    judged(project, good=0, bad=60)
    first, second = sorted(project.runs, key=lambda run: run.name.endswith("bad"))
    done = evalkit(project, "compare", str(first), str(second))
    assert done.returncode == 0, done.stderr
    table = [line for line in done.stdout.splitlines() if line.startswith(" ")]
    assert max(map(len, table)) <= 80
    for part in ("priority recall of high", "May not ship: bad.", "What differs:"):
        assert part in done.stdout
    assert ["A", "/", "B", "priority", "60", "0"] in [line.split() for line in table]
    gates = project.suites / "gates.toml"
    gates.write_text(gates.read_text().replace("min_value = 0.80", "min_value = 0.85"))
    assert "under other criteria" in evalkit(project, "compare", str(first), str(second)).stdout
    content = json.loads(evalkit(project, "compare", str(first), str(second), "--json").stdout)
    (found,) = [m for m in content["metrics"] if m["metric"] == "priority accuracy"]
    assert (found["only_first"], found["only_second"], len(found["won"])) == (60, 0, 60)
    assert found["p_value"] < 1e-9


def test_runs_of_other_rows_are_not_compared(project: Project) -> None:
    first = judged_run(project)
    shutil.rmtree(project.root / "adapters" / "mine")
    project.write_rows(239)
    project.write_system()
    project.run("suites", "--model", "mine")
    (second,) = [run for run in project.runs if run != first]
    done = evalkit(project, "compare", str(first), str(second))
    assert done.returncode == 4
    assert "different test sets" in done.stderr
    assert "Traceback" not in done.stderr


def test_several_systems_are_judged_in_one_session(project: Project) -> None:
    said = pytest.LineMatcher(judged(project, good=0, bad=60))
    said.fnmatch_lines(["*good may ship*", "*bad may NOT ship*"])
    assert len(project.runs) == 2
    said.fnmatch_lines(["priority accuracy: good 100.0%, bad 75.0%, +25.0 *McNemar*"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--model", "mnie"], "*no system 'mnie'*Did you mean 'mine'?*"),
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


def test_the_only_system_need_not_be_named(project: Project) -> None:
    project.write_system()
    result = project.run("suites")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*mine may ship*"])
    # A suite that asks for none is none of the gate's business.
    (project.suites / "test_own.py").write_text("def test_own():\n    pass\n")
    result = project.run("suites/test_own.py")
    assert result.ret == 0
    assert "mine" not in result.stdout.str()
    project.write_system("other")
    result = project.run("suites")
    assert result.ret == 4
    result.stderr.fnmatch_lines(
        ["*Which system is under test? Give --model NAME. Which system? There are mine, other.*"]
    )


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
    result.stderr.fnmatch_lines(["*evalkit fetch tuned*", "*evalkit train tuned`*"])


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
    assert result.ret == 1
    result.stdout.fnmatch_lines(
        [
            "*may NOT ship: partial: 1 of 240 rows could not be read and were skipped. Mend *",
        ]
    )
    with (project.suites / "gates.toml").open("a") as file:
        file.write("\n[bad_rows]\nmax_value = '1%'\nwhy = 'x'\n")
    result = project.run("suites", "--model", "mine", "--on-bad-row", "skip")
    assert result.ret == 0
    result.stdout.fnmatch_lines(
        [
            f"mine may ship: all {GATES + 1} gates passed; 1 of 240 rows could not be read and *",
        ]
    )


def test_a_missing_recorded_answer_exits_4_and_judges_nothing(project: Project) -> None:
    project.write_system()
    path = project.root / "adapters" / "mine" / "a.jsonl"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))
    result = project.run("suites", "--model", "mine")
    assert result.ret == 4
    result.stdout.fnmatch_lines(["*1 of 240 examples have no recorded answer*"])
    assert not project.runs


def test_a_breakdown_of_the_machinery_exits_3_and_is_no_wrong_answer(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(self: ReplayEngine, requests: Sequence[Request]) -> Answers:
        yield requests[0].id, None
        raise OSError("the device is gone")

    project.write_system()
    monkeypatch.setattr(ReplayEngine, "complete", broken)
    result = project.run("suites", "--model", "mine")
    assert result.ret == 3
    result.stdout.fnmatch_lines(["*evalkit broke down while 'mine' was answering*"])
    assert not project.runs


def test_interrupted_while_answering_then_goes_on(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(self: ReplayEngine, requests: Sequence[Request]) -> Answers:
        yield from islice(whole(self, requests), 100)
        raise KeyboardInterrupt

    whole = ReplayEngine.complete
    project.write_system()
    with monkeypatch.context() as patch:
        patch.setattr(ReplayEngine, "complete", interrupted)
        result = project.run("suites/test_outputs.py", "--model", "mine", no_reraise_ctrlc=True)
    assert result.ret == 2
    result.stderr.fnmatch_lines(["What was answered is kept; *"])
    assert not project.runs
    result = project.run("suites/test_outputs.py", "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*100 of 240 answers were known from earlier*"])
    (run,) = project.runs
    assert json.loads((run / "record.json").read_text())["reused_rows"] == 100


def test_rows_without_an_answer_leave_the_verdict_open(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dying(self: ReplayEngine, requests: Sequence[Request]) -> Answers:
        for number, (name, said) in enumerate(whole(self, requests)):
            yield name, said if number < 200 else Unanswered("the server is down")

    whole = ReplayEngine.complete
    project.write_system()
    with monkeypatch.context() as patch:
        patch.setattr(ReplayEngine, "complete", dying)
        result = project.run("suites", "--model", "mine")
    assert result.ret == 1
    result.stdout.fnmatch_lines(["*may NOT ship: 40 rows got no answer: the server is down*"])
    (run,) = project.runs
    record = json.loads((run / "record.json").read_text())
    assert (record["rows"], len(record["unanswered"])) == (200, 40)
    # Those that came are kept; the others are asked again.
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result.stdout.fnmatch_lines(["*200 of 240 answers were known from earlier*"])


def test_suites_for_other_tasks_are_left_out(project: Project) -> None:
    project.write_system()
    (project.suites / "test_intents.py").write_text(
        "import pytest\n\n@pytest.mark.task('intents')\ndef test_x(evaluation):\n    assert False\n"
    )
    result = project.run("suites", "--model", "mine")
    assert result.ret == 0
    result.assert_outcomes(passed=GATES, skipped=SKIPPED, deselected=1)


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
    path.write_text(
        path.read_text().replace(word(project, 5), "\\u001b]0;owned\\u0007 \\u202e\\u001b[2J")
    )
    project.write_system(r5='{"folder": "\\u001b[31mSpam", "priority": 1}')
    result = project.run("suites/test_outputs.py", "--model", "mine", "--color=no", "-v")
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
            heavy |= {"sklearn", "matplotlib"}
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
    project.run("suites/test_outputs.py", "--model", "mine")
    (run,) = project.runs
    before = json.loads((run / "record.json").read_text())
    assert before["schema"] == 3
    shutil.rmtree(run)
    answers = project.root / "adapters" / "mine" / "a.jsonl"
    answers.write_text(answers.read_text().replace("Alerts", "Work"))
    path = project.data
    path.write_text(path.read_text().replace(word(project, 5), "another"))
    project.run("suites/test_outputs.py", "--model", "mine")
    (run,) = project.runs
    after = json.loads((run / "record.json").read_text())
    assert before["engine"]["answers_sha256"] != after["engine"]["answers_sha256"]
    assert before["data"]["sha256"] != after["data"]["sha256"]
    assert before["predictions_sha256"] != after["predictions_sha256"]
    assert before["prompt_sha256"] == after["prompt_sha256"]


def test_the_usual_numbers_are_stored_beside_the_verdicts(project: Project) -> None:
    project.write_system(wrong=24)
    result = project.run("suites/test_outputs.py", "--model", "mine", "-v")
    result.stdout.fnmatch_lines([" all fields right * 90.0% *", " priority accuracy * 90.0% *"])
    measured = project.verdicts()["measured"]
    assert measured["all fields right"]["successes"] == 216
    assert measured["format violations"]["value"] == 0
    assert 0.8 < measured["priority macro-F1"]["value"] < 1


def test_worker_processes_are_refused(project: Project) -> None:
    project.write_system()
    pytest.importorskip("xdist")
    result = project.pytester.runpytest_subprocess("suites", "--model", "mine", "-n", "2")
    assert result.ret == 4
    result.stderr.fnmatch_lines(["*without pytest-xdist's -n*"])
