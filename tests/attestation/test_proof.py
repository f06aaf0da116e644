"""`evalkit attest`, `verify` and `gates seal`, as their user meets them."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from evalkit.attestation.envelope import UntrustedError
from evalkit.attestation.statement import (
    BASE,
    STATEMENT,
    Attested,
    objection,
    read_statement,
    subjects,
)
from evalkit.cli import main
from evalkit.systems import load_system
from evalkit.tasks import Task
from judged_runs import write_judged_run

pytest.importorskip("securesystemslib", reason="the extra attest is not installed")
Run = Callable[..., tuple[int, str, str]]
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "tfidf"\n'
MINE = Path("adapters/mine")
WEIGHTS = MINE / "baseline.safetensors"


@pytest.fixture
def evalkit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Run:
    """Run the command line in a folder with a shelf of one system, `mine`, and a key."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EVALKIT_SHELF", raising=False)
    MINE.mkdir(parents=True)
    (MINE / "system.toml").write_text(SYSTEM)
    (MINE / "README.md").write_text("a card")
    WEIGHTS.write_bytes(b"weights")

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evalkit", *arguments])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(str(stop.value)), *capsys.readouterr()

    assert run("attest", "--new-key")[0] == 0
    return run


def judged(right: int = 20, **changes: Any) -> Path:
    trained = {WEIGHTS.name: hashlib.sha256(WEIGHTS.read_bytes()).hexdigest()}
    return write_judged_run(Path("runs"), right=right, base=None, trained_sha256=trained, **changes)


def verify(evalkit: Run, *arguments: str) -> tuple[int, str]:
    code, out, err = evalkit("verify", "mine", "--key", "evalkit.pub", *arguments)
    return code, (out + err).strip()


def statement() -> dict[str, Any]:
    envelope = json.loads((MINE / "attestation.json").read_text())
    found: dict[str, Any] = json.loads(base64.b64decode(envelope["payload"]))
    return found


def test_the_key_is_its_owners_and_is_not_replaced(evalkit: Run) -> None:
    assert Path("evalkit.key").stat().st_mode & 0o077 == 0
    code, _, err = evalkit("attest", "--new-key")
    assert code == 4
    assert "is there already" in err
    for option in ("--out", "--model", "--gates"):
        code, _, err = evalkit("attest", "--new-key", "--key", "other.key", option, "x")
        assert (code, f"leave out {option}" in err) == (4, True)
    assert not Path("other.key").exists()
    assert evalkit("attest", "--new-key", "--key", "new folder/my.key")[0] == 0
    assert Path("new folder/my.pub").is_file()


def test_a_key_that_git_would_commit_is_warned_of(evalkit: Run, tmp_path: Path) -> None:
    git = partial(subprocess.run, check=True, capture_output=True)
    git(["git", "init", "repository"])
    os.chdir("repository")
    code, out, err = evalkit("attest", "--new-key", "--key", "one.key")
    assert (code, "never commit it" in out) == (0, True)
    assert err == "WARNING: git does not ignore one.key: add it to .gitignore.\n"
    Path(".gitignore").write_text("*.key\n")
    assert evalkit("attest", "--new-key", "--key", "two.key")[2] == ""
    os.chdir(tmp_path)
    assert evalkit("attest", "--new-key", "--key", "three.key")[2] == "", "outside a repository"


def test_these_files_passed_these_criteria(evalkit: Run) -> None:
    run = judged()
    code, out, _ = evalkit("attest", str(run))
    assert (code, out) == (0, "adapters/mine/attestation.json: mine PASSED, 3 subjects\n")
    assert verify(evalkit) == (0, "mine: verified; criteria not sealed beforehand")
    said = statement()
    assert said["_type"] == "https://in-toto.io/Statement/v1"
    assert said["predicateType"] == "https://in-toto.io/attestation/test-result/v0.1"
    names = {"system.toml", WEIGHTS.name, "task notifications-3level"}
    assert {one["name"] for one in said["subject"]} == names
    told = {one["name"]: one["digest"]["sha256"] for one in said["predicate"]["configuration"]}
    verdicts = json.loads((run / "verdicts.json").read_text())
    assert told["criteria"] == verdicts["criteria_sha256"]
    assert told["data"] == "d" * 64
    assert told["verdicts.json"] == hashlib.sha256((run / "verdicts.json").read_bytes()).hexdigest()
    # A card may be written later.
    (MINE / "README.md").write_text("another card")
    assert verify(evalkit)[0] == 0


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (lambda: WEIGHTS.write_bytes(b"weighty"), "baseline.safetensors differs from the one"),
        (lambda: WEIGHTS.unlink(), "baseline.safetensors is missing"),
        (
            lambda: (MINE / "system.toml").write_text(f"{SYSTEM}# more\n"),
            "system.toml differs from the one",
        ),
        (
            lambda: (MINE / "chat_template.jinja").write_text("{{ 'always' }}"),
            "chat_template.jinja is not among the files that were judged",
        ),
        (
            lambda: ((MINE / "extra").mkdir(), (MINE / "extra" / "a.bin").write_bytes(b"x")),
            "extra/a.bin is not among the files that were judged",
        ),
    ],
)
def test_other_files_are_not_verified(change: Callable[[], object], why: str, evalkit: Run) -> None:
    evalkit("attest", str(judged()))
    change()
    code, said = verify(evalkit)
    assert code == 1
    assert said.startswith(f"mine: NOT verified: {why}")
    assert "\n" not in said


def test_recorded_answers_are_a_part_whatever_they_are_called(tmp_path: Path) -> None:
    system = tmp_path / "system.toml"
    system.write_text(SYSTEM.replace("tfidf", "replay") + 'answers = ".kept/answers.md"\n')
    (tmp_path / ".kept").mkdir()
    (tmp_path / ".kept" / "answers.md").write_text("{}")
    (tmp_path / "notes.md").write_text("none of it")
    names = {"system.toml", ".kept/answers.md", "task notifications-3level"}
    found = load_system(tmp_path)
    attested = Attested(subjects(found), True, (), None, None)
    assert set(attested.files) == names
    assert objection(attested, found, None) is None
    (tmp_path / ".kept" / "answers.md").unlink()
    assert objection(attested, found, None) == ".kept/answers.md is missing"


def test_a_verdict_by_other_criteria_than_these_is_not_signed(evalkit: Run) -> None:
    run = str(judged())
    gates = Path("suites/gates.toml")
    gates.parent.mkdir()
    gates.write_text("[priority_accuracy]\nmin_value = 0.99\nwhy = 'x'\n")
    code, _, err = evalkit("attest", run)
    assert (code, "was judged under other criteria" in err) == (4, True)
    assert not (MINE / "attestation.json").exists()
    assert evalkit("attest", run, "--gates", "elsewhere.toml")[0] == 4
    gates.unlink()
    assert evalkit("attest", run)[0] == 0


def test_another_text_of_a_built_in_task_is_not_verified(
    evalkit: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    evalkit("attest", str(judged()))
    monkeypatch.setattr(Task, "fingerprint", property(lambda task: "0" * 64))
    code, said = verify(evalkit)
    assert (code, said) == (
        1,
        "mine: NOT verified: task notifications-3level differs from the one that was judged",
    )


def test_what_failed_is_attested_as_failed(evalkit: Run) -> None:
    code, out, _ = evalkit("attest", str(judged(right=2)))
    assert code == 0
    assert "mine FAILED" in out
    failed = statement()["predicate"]["failedTests"]
    assert failed[0] == "accuracy"
    assert verify(evalkit) == (1, f"mine: NOT verified: it did not pass: {', '.join(failed)}")


def test_another_key_or_a_changed_statement_is_no_proof(evalkit: Run) -> None:
    evalkit("attest", str(judged(right=2)))
    path = MINE / "attestation.json"
    envelope = json.loads(path.read_text())
    payload = base64.b64decode(envelope["payload"]).replace(b'"FAILED"', b'"PASSED"')
    path.write_text(json.dumps(envelope | {"payload": base64.b64encode(payload).decode()}))
    assert verify(evalkit) == (
        1,
        "mine: NOT verified: attestation.json carries no signature of this key",
    )
    evalkit("attest", str(judged()), "--key", "evalkit.key")
    evalkit("attest", "--new-key", "--key", "other.key")
    code, out, _ = evalkit("verify", "mine", "--key", "other.pub")
    assert code == 1
    assert "no signature of this key" in out
    for content in ("[]", "1", '{"payload": "x"}', "[" * 9999):
        path.write_text(content)
        assert verify(evalkit) == (
            1,
            "mine: NOT verified: attestation.json is not a signed statement. `evalkit attest RUN` "
            "writes it, once a run was judged.",
        )


@pytest.mark.parametrize("statement", [[], "x", {}, {"_type": STATEMENT, "predicateType": "x"}])
def test_a_signed_statement_of_another_shape_is_none_of_a_tests_result(statement: object) -> None:
    with pytest.raises(UntrustedError, match="none of a test's result"):
        read_statement(statement)


def test_weights_in_a_folder_that_is_gone_are_not_to_be_fetched(tmp_path: Path) -> None:
    path = tmp_path / "system.toml"
    path.write_text('task = "notifications-3level"\nformat = "json"\nbase = "weights"\n')
    why = objection(Attested({BASE: "0"}, True, (), None, None), load_system(tmp_path), None) or ""
    assert f"There is no folder {tmp_path / 'weights'}" in why
    assert "evalkit fetch" not in why


def test_other_criteria_than_those_attested(evalkit: Run) -> None:
    evalkit("attest", str(judged()))
    Path("gates.toml").write_text('[priority_accuracy]\nmin_value = 0.99\nwhy = "more"\n')
    code, said = verify(evalkit, "--gates", "gates.toml")
    assert (code, said) == (1, "mine: NOT verified: it passed other criteria than these")


def test_only_a_judged_run_of_these_files_is_attested(evalkit: Run) -> None:
    assert "was not judged" in evalkit("attest", str(judged(judged=False)))[2]
    assert "by chosen tests only" in evalkit("attest", str(judged(partial=True)))[2]
    run = judged()
    WEIGHTS.write_bytes(b"other weights")
    code, _, err = evalkit("attest", str(run))
    assert code == 4
    assert "baseline.safetensors changed since" in err
    assert not (MINE / "attestation.json").exists()
    assert "evalkit runs" in evalkit("attest")[2]


def test_a_systems_name_stands_for_its_newest_judged_run(evalkit: Run) -> None:
    run = judged()
    judged(judged=False)  # such as one to compare another system with
    judged(partial=True)
    assert evalkit("attest", "mine", "--out", "kept here/mine.json")[0] == 0
    assert verify(evalkit, "--attestation", "kept here/mine.json")[0] == 0
    assert evalkit("attest", "mine")[0] == 0
    assert statement()["predicate"]["evalkit"]["run"] == run.name
    assert "is a folder" in evalkit("attest", "mine", "--out", "adapters")[2]
    Path("file").touch()
    code, _, err = evalkit("attest", "mine", "--out", "file/mine.json")
    assert (code, "Something else is there" in err) == (4, True)
    code, _, err = evalkit("attest", str(judged(name="elsewhere")))
    assert code == 4
    assert "--model FOLDER" in err


def test_where_there_is_no_attestation_it_is_said_what_makes_one(evalkit: Run) -> None:
    code, said = verify(evalkit)
    assert code == 4
    assert said == (
        "error: There is no adapters/mine/attestation.json. `evalkit attest RUN` writes it, once "
        "a run was judged."
    )


def test_a_key_that_is_none(evalkit: Run) -> None:
    run = judged()
    code, _, err = evalkit("attest", str(run), "--key", "evalkit.pub")
    assert code == 4
    assert "holds no private key" in err
    evalkit("attest", str(run))
    code, _, err = evalkit("verify", "mine", "--key", "evalkit.key")
    assert code == 4
    assert "holds no public key" in err
