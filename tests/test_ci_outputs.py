"""What a gate leaves where CI looks: JUnit properties, GitHub's summary and annotations."""

from __future__ import annotations

import json
import re
import subprocess
import unicodedata
import xml.etree.ElementTree as ET
from pathlib import Path
from random import Random

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

import gate_imports  # noqa: F401
from evalkit.pytest_plugin.github import MOST_BYTES, append_summary, command

WORKFLOWS = Path(__file__).parents[1] / ".github" / "workflows"
HOSTILE = "a\x1b[31m,b:c%25\n::error::<b>|\u202e"
"""A slice that would be a colour, a property, a command, HTML, a cell, and right to left."""
SUITE = f"""
import pytest

@pytest.mark.task("notifications")
def test_two_gates(evaluation, gate):
    gate("priority", evaluation.accuracy("priority"))
    gate("folder", evaluation.accuracy("folder"), slice={HOSTILE!r})

@pytest.mark.task("notifications")
def test_few(evaluation, gate):
    gate("recall", evaluation.recall("priority", 1), slice=1)
"""
GATES = """
[priority]
min_value = 0.5
why = "half"
min_cases = 5
[folder]
min_value = {folder}
why = "100% sure, or: so"
min_cases = 5
[recall]
min_value = 0.5
why = "z"
min_cases = {cases}
"""


class Project:
    """A project with one system: its priorities are right, and half of its folders hostile."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.root = pytester, pytester.path
        system = self.root / "adapters" / "mine"
        system.mkdir(parents=True)
        (system / "system.toml").write_text(
            'task = "notifications-3level"\nformat = "json"\nengine = "replay"\n'
            'answers = "a.jsonl"\n'
        )
        rows, answers, random = [], [], Random(0)
        for i in range(12):
            labels = {"folder": "Work", "priority": i % 3 + 1}
            # Words of its own, as near-duplicates count as one case.
            own = " ".join("".join(random.choices("abcdefghijklmnop", k=7)) for _ in range(8))
            text = f"::add-mask::{i} ##[error]x {own}"
            notification = {"app": "a", "title": "t", "body": text}
            row = {"id": f"::error::{i}", "notification": notification, "classification": labels}
            rows.append(json.dumps(row))
            said = labels | {"folder": "Work" if i % 2 else HOSTILE}
            answers.append(json.dumps({"id": row["id"], "text": json.dumps(said)}))
        (system / "a.jsonl").write_text("\n".join(answers))
        (self.root / "rows.jsonl").write_text("\n".join(rows))
        suites = self.root / "suites"
        suites.mkdir()
        (suites / "test_it.py").write_text(SUITE)

    def judge(self, *more: str, folder: float = 0.9, cases: int = 50) -> pytest.RunResult:
        gates = GATES.format(folder=folder, cases=cases)
        (self.root / "suites" / "gates.toml").write_text(gates)
        arguments = ("suites", "--model", "mine", "--data", "rows.jsonl", "-p", "no:cacheprovider")
        return self.pytester.runpytest_inprocess(*arguments, *more)

    def verdicts(self) -> dict:
        (path,) = self.root.glob("runs/*/verdicts.json")
        return json.loads(path.read_text())


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


# JUnit


def properties(case: ET.Element) -> dict[str, str]:
    return {p.attrib["name"]: p.attrib["value"] for p in case.iterfind("properties/property")}


def test_each_gate_is_a_group_of_properties_of_its_test_case(project: Project) -> None:
    result = project.judge("--junitxml=out.xml")
    assert result.ret == 1
    suite = ET.parse(project.root / "out.xml").getroot().find("testsuite")
    assert suite is not None
    assert properties(suite) == {"evalkit.mine.verdict": "may NOT ship"}
    cases = {case.attrib["name"]: properties(case) for case in suite.iterfind("testcase")}
    found = cases["test_two_gates[mine]"]
    gates = {gate["gate"]: gate for gate in project.verdicts()["gates"]}
    estimate = gates["priority"]["estimate"]
    expected = {
        "gate": "priority",
        "slice": "",
        **{key: str(estimate[key]) for key in ("value", "low", "high", "n")},
        "threshold": "0.5",
        "direction": "min_value",
        "outcome": "pass",
        "unit": "%",
    }
    assert {f"priority.{key}": value for key, value in expected.items()}.items() <= found.items()
    hostile = {key.rpartition(".")[2]: v for key, v in found.items() if key.startswith("folder[")}
    assert set(hostile) == set(expected)
    assert (hostile["value"], hostile["outcome"]) == ("0.5", "fail")
    assert cases["test_few[mine]"]["recall[1].outcome"] == "inconclusive"
    for text in (*found, *found.values()):
        assert not any(unicodedata.category(c) in ("Cc", "Cf") for c in text), text


@pytest.mark.parametrize(
    ("more", "verdict"), [((), "may ship"), (("-k", "two_gates"), "no verdict")]
)
def test_the_suite_holds_the_verdict(project: Project, more: tuple[str, ...], verdict: str) -> None:
    project.judge("--junitxml=out.xml", *more, folder=0.1, cases=2)
    suite = ET.parse(project.root / "out.xml").getroot().find("testsuite")
    assert suite is not None
    assert properties(suite) == {"evalkit.mine.verdict": verdict}


# GitHub's job summary


def test_the_summary_is_appended_and_has_what_failed_first(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = project.root / "summary.md"
    path.write_text("what others wrote")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(path))
    result = project.judge()
    assert result.ret == 1
    text = path.read_text()
    assert text.startswith("what others wrote\n\n# mine: may NOT ship\n")
    gates = text.partition("## Gates")[2]
    assert re.findall(r"\| (fail|inconclusive|pass) \|", gates) == ["fail", "inconclusive", "pass"]
    assert "| priority accuracy | 100" in text.replace("\\", "")
    assert re.search(r"\| Work \|.* 50.0% ", text)
    assert "## Cost" in text
    assert not re.search(r"(?<!\\)[<>]", text)
    assert not any(unicodedata.category(c) in ("Cc", "Cf") and c != "\n" for c in text)
    shown = project.judge("-v").stdout.str().partition("FAILURES")[2]
    assert "read as out of enum: a\\x1b[31m" in shown
    assert "folder[a\\x1b[31m" in shown
    assert not any(unicodedata.category(c) in ("Cc", "Cf") and c != "\n" for c in shown)


def test_a_summary_that_cannot_be_written_changes_no_verdict(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", str(project.root))
    result = project.judge(folder=0.1, cases=2)
    assert result.ret == 0
    assert result.stdout.str().count("GitHub was not told all") == 1
    result.stdout.fnmatch_lines(["*mine may ship: all 3 gates passed.*"])


@given(st.text(), st.integers(0, 600), st.sampled_from([0, 100]))
def test_a_summary_stays_below_the_limit_and_whole_lines_are_kept(
    tmp_path_factory: pytest.TempPathFactory, line: str, left: int, lines: int
) -> None:
    path = tmp_path_factory.mktemp("summary") / "s.md"
    before = b"x" * (MOST_BYTES - left)
    path.write_bytes(before)
    try:
        append_summary(path, "\n".join(["first", *[line] * lines]))
    except OSError:
        assert path.read_bytes() == before
        return
    after = path.read_bytes()
    assert after.startswith(before + b"\n\nfirst")
    assert len(after) <= MOST_BYTES


# GitHub's annotations


def commands(result: pytest.RunResult) -> list[str]:
    return [line for line in result.outlines if line.lstrip().startswith("::")]


@pytest.mark.parametrize("flags", [("-v",), ("-q", "-rf"), ("-qq", "-rf"), ("-s", "-q", "-rf")])
def test_annotations_name_what_failed_and_what_is_open(
    project: Project, monkeypatch: pytest.MonkeyPatch, flags: tuple[str, ...]
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = project.judge(*flags)
    assert result.ret == 1
    stop = next(n for n, line in enumerate(result.outlines) if line.startswith("::stop-commands::"))
    token = result.outlines[stop].removeprefix("::stop-commands::")
    start = result.outlines.index(f"::{token}::")
    shown = result.outlines[stop:start]
    assert any(line.lstrip().startswith(": :error::0: ") for line in shown)  # a row's id
    rest = result.outlines[start + 1 :]
    assert commands(result)[-len(rest) :] == rest
    titles = [re.match(r"::(\w+) title=([^:,]*)::(.*)$", line) for line in rest]
    assert [(m[1], m[2]) for m in titles if m] == [
        ("error", "release gate"),
        ("error", "folder[a\\x1b[31m%2Cb%3Ac%2525\\n%3A%3Aerror%3A%3A<b>|\\u202e]"),
        ("warning", "recall[low]"),
    ]
    assert "100%25 sure, or: so" in rest[1]
    before = "\n".join(result.outlines[:stop])
    assert "add-mask" not in before
    assert "##[" not in before


def test_a_system_that_may_ship_is_not_annotated(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    result = project.judge(folder=0.1, cases=2)
    assert result.ret == 0
    assert [line for line in commands(result) if " title=" in line] == []


def test_elsewhere_there_are_no_commands(project: Project) -> None:
    result = project.judge()
    assert not any(line.startswith("::") for line in result.outlines)


@given(st.text(), st.text())
def test_a_command_is_one_line_and_reads_back(title: str, message: str) -> None:
    line = command("error", title, message)
    assert "\n" not in line
    assert "\r" not in line
    found = re.fullmatch(r"::error title=([^:,]*?)::(.*)", line, re.DOTALL)
    assert found

    def read(text: str, codes: dict[str, str]) -> str:
        return re.sub("|".join(codes), lambda m: codes[m[0]], text)

    codes = {"%0D": "\r", "%0A": "\n", "%25": "%"}
    assert read(found[2], codes) == message
    assert read(found[1], codes | {"%3A": ":", "%2C": ","}) == title


# Workflows


def workflow(name: str) -> dict:
    content = yaml.safe_load((WORKFLOWS / name).read_text(encoding="utf-8"))
    # YAML 1.1 reads the key `on` as true.
    content["on"] = content.pop(True)
    return content


def steps(name: str) -> list[dict]:
    return [step for job in workflow(name)["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("name", [path.name for path in sorted(WORKFLOWS.glob("*.yml"))])
def test_a_workflow_may_do_little_and_interpolates_nothing_into_a_shell(name: str) -> None:
    assert workflow(name)["permissions"] == {"contents": "read"}
    for job in workflow(name)["jobs"].values():
        assert "permissions" not in job
        assert job["timeout-minutes"]
    for step in steps(name):
        assert ("run" in step) is not ("uses" in step)
        assert "${{" not in step.get("run", "")
        if "uses" in step:
            assert re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"])
        if step.get("uses", "").startswith("actions/checkout@"):
            assert step["with"]["persist-credentials"] is False


def test_the_projects_checks_are_those_of_the_makefile() -> None:
    found = workflow("checks.yml")
    assert {"push", "pull_request"} <= set(found["on"])
    assert [step["run"] for step in steps("checks.yml") if "run" in step] == [
        "make check",
        "make test",
        "make docs",
    ]


def test_the_gate_is_called_with_inputs_and_keeps_reports_of_failures() -> None:
    call = workflow("gate.yml")["on"]["workflow_call"]
    assert {
        "install", "model", "suites", "data", "against", "gates", "python-version", "pytest-args"
    } <= set(call["inputs"])  # fmt: skip
    assert set(call["outputs"]) == {"verdict"}
    (upload,) = [s for s in steps("gate.yml") if "upload-artifact" in s.get("uses", "")]
    assert upload["if"] == "${{ !cancelled() }}"
    assert not any("continue-on-error" in step for step in steps("gate.yml"))


def run_step(name: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    (step,) = [step for step in steps("gate.yml") if step.get("name") == name]
    tools = cwd / "bin"
    script = 'printf "%s\\n" "$@" > "$0.arguments"\nexit 7\n'
    tools.mkdir(exist_ok=True)
    for tool in ("pytest", "evalkit", "python"):
        (tools / tool).write_text(f"#!/bin/sh\n{script}")
        (tools / tool).chmod(0o755)
    return subprocess.run(
        ["bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", step["run"]],
        cwd=cwd,
        env={"PATH": f"{tools}:/usr/bin:/bin", **env},
        capture_output=True,
        text=True,
        check=False,
    )


def test_inputs_stay_arguments_and_the_exit_code_is_pytests(tmp_path: Path) -> None:
    hostile = '"; touch pwned; $(touch pwned) `touch pwned`'
    given_inputs = dict.fromkeys(("MODEL", "SUITES", "DATA", "AGAINST", "GATES"), hostile)
    done = run_step("Judge the model", tmp_path, **given_inputs, MORE="-q --fresh", RESULTS="r")
    assert done.returncode == 7, done.stderr
    arguments = (tmp_path / "bin" / "pytest.arguments").read_text().splitlines()
    assert arguments == [
        hostile, "--model", hostile, "--runs", "r/runs", "--junitxml", "r/junit.xml",
        "--data", hostile, "--against", hostile, "--gates", hostile, "-q", "--fresh",
    ]  # fmt: skip
    for name, env in (("Install evalkit", "INSTALL"), ("Fetch the weights", "MODEL")):
        assert run_step(name, tmp_path, **{env: hostile}).returncode == 7
    assert not (tmp_path / "pwned").exists()


def test_without_a_run_the_workflow_says_that_there_is_no_verdict(tmp_path: Path) -> None:
    output = tmp_path / "output"
    done = run_step("Tell the verdict", tmp_path, RESULTS="r", GITHUB_OUTPUT=str(output))
    assert done.returncode == 0, done.stderr
    assert output.read_text() == "verdict=no verdict\n"
