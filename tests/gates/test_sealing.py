from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from evalkit.errors import UserError
from evalkit.gates.policy import criteria_in_force, load_policies, policies_sha256
from evalkit.gates.sealing import breach, read_seal, seal, seal_of, sealed_before
from evalkit.run_record import RunRecord

GATES = '[accuracy]\nmin_value = 0.8\nwhy = "a reason"\n'


def run(started: datetime, **more: int) -> RunRecord:
    return RunRecord(system="mine", started=started.isoformat(), **more)


@pytest.fixture
def gates(tmp_path: Path) -> Path:
    (tmp_path / "gates.toml").write_text(GATES)
    return tmp_path / "gates.toml"


def test_criteria_sealed_before_and_after_a_system_answers(gates: Path):
    assert sealed_before(gates, run(datetime.now(UTC))) == (None, None)
    assert seal(gates) == gates.parent / "gates.seal.json"
    found = read_seal(gates)
    assert found is not None
    when = found[1].isoformat(timespec="seconds")
    sealed, note = sealed_before(gates, run(found[1] + timedelta(seconds=1)))
    assert sealed == when
    assert "before the system answered" in str(note)
    sealed, note = sealed_before(gates, run(found[1] - timedelta(seconds=1)))
    assert sealed is None
    assert "after the system had begun" in str(note)
    sealed, note = sealed_before(gates, run(found[1] + timedelta(seconds=1), reused_rows=3))
    assert sealed is None
    assert "3 answers were known from earlier" in str(note)


def test_a_criterion_changed_after_the_seal_and_a_comment_changed(gates: Path):
    seal(gates)
    later = run(datetime.now(UTC) + timedelta(hours=1))
    gates.write_text(f"# in other words\n{GATES}")
    assert sealed_before(gates, later)[0] is not None
    gates.write_text(GATES.replace("0.8", "0.9"))
    sealed, note = sealed_before(gates, later)
    assert sealed is None
    assert "other ones than those sealed" in str(note)


SEALED = """
[accuracy]
min_value = 0.8
min_cases = 50
tier = "supporting"
why = "a reason"
[flips]
max_value = 0.1
why = "another"
"""


@pytest.mark.parametrize(
    ("before", "now", "looser"),
    [
        ("0.8", "0.79", "accuracy"),
        ("0.8", "0.81", None),
        ("0.1", "0.11", "flips"),
        ("0.1", "0.09", None),
        ("50", "49", "accuracy"),
        ("50", "51", None),
        ("supporting", "advisory", "accuracy"),
        ("supporting", "critical", None),
        ("a reason", "in other words", None),
        ("min_value = 0.8", "max_value = 0.8", "accuracy"),
        ("min_cases = 50", 'min_cases = 50\nneeds = ["adapter"]', "accuracy"),
        ("[flips]", "[flops]", "flips"),
        ("[flips]", '[more]\nmin_value = 0.5\nwhy = "new"\n[flips]', None),
    ],
)
def test_what_is_looser_than_it_was_is_named(
    tmp_path: Path, before: str, now: str, looser: str | None
):
    gates = tmp_path / "gates.toml"
    gates.write_text(SEALED)
    seal(gates)
    assert breach(gates, load_policies(gates)) is None
    gates.write_text(SEALED.replace(before, now))
    found = breach(gates, load_policies(gates))
    assert (found and found.split(": ")[1].split(".")[0]) == looser
    seal(gates)
    assert breach(gates, load_policies(gates)) is None


def test_a_seal_that_does_not_say_what_it_sealed_holds_for_these_criteria_only(gates: Path):
    content = json.loads(seal(gates).read_text())
    del content["criteria"]
    seal_of(gates).write_text(json.dumps(content))
    assert breach(gates, load_policies(gates)) is None
    gates.write_text(GATES.replace("0.8", "0.9"))
    assert "Put them back" in str(breach(gates, load_policies(gates)))


def test_a_broken_seal_is_a_users_mistake(gates: Path):
    seal_of(gates).write_text("{}")
    with pytest.raises(UserError, match="is not a seal"):
        read_seal(gates)


def test_a_seal_whose_criteria_were_edited_contradicts_its_hash(gates: Path):
    content = json.loads(seal(gates).read_text())
    content["criteria"][next(iter(content["criteria"]))]["min_value"] = 0.1
    seal_of(gates).write_text(json.dumps(content))
    with pytest.raises(UserError, match="is not a seal"):
        read_seal(gates)


def test_criteria_that_were_named_have_to_be_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert criteria_in_force() is None
    with pytest.raises(UserError, match=r"typo\.toml"):
        criteria_in_force(Path("typo.toml"))
    Path("suites").mkdir()
    Path("suites/gates.toml").write_text(SEALED)
    assert criteria_in_force() == policies_sha256(load_policies(Path("suites/gates.toml")))
