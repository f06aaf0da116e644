"""`evalkit diagnose`: what answers a run's failed gates."""

from __future__ import annotations

import json
import shlex
import tomllib
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from evalkit.cli import app
from evalkit.cli.train import changed
from evalkit.errors import UserError
from evalkit.reports.diagnosis import diagnose_run, train_command
from evalkit.reports.judged import read_judged
from evalkit.systems import SystemConfig
from evalkit.toml_files import to_toml
from judged_runs import write_judged_run

TOML = """\
task = "notifications-3level"
format = "json"
engine = "tfidf"

[recipe]
data = "rows.jsonl"
"""
TFIDF = {"engine": {"engine": "tfidf"}, "base": None}


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A shelf with one baseline, `mine`."""
    monkeypatch.setenv("EVALKIT_SHELF", str(tmp_path / "adapters"))
    monkeypatch.chdir(tmp_path)
    file = tmp_path / "adapters" / "mine" / "system.toml"
    file.parent.mkdir(parents=True)
    file.write_text(TOML, encoding="utf-8")
    return file


def diagnose(runs: Path, *options: str) -> str:
    done = CliRunner().invoke(app, ["diagnose", "2026", "--runs", str(runs), *options])
    assert done.exit_code == 0, done.output
    return done.output


def test_the_evidence_and_the_next_value_of_the_systems_own_recipe(
    shelf: Path, tmp_path: Path
) -> None:
    write_judged_run(tmp_path / "runs", right=6, **TFIDF)
    found = json.loads(diagnose(tmp_path / "runs", "--json"))
    assert [finding["question"] for finding in found["findings"]] == ["accuracy", "recall"]
    (accuracy,) = found["findings"][0]["gates"]
    assert accuracy["shortfall"] == pytest.approx(0.5)
    assert accuracy["rows"] == [str(n) for n in range(6, 20)]
    assert found["recipe"] == {"class_weight": "balanced"}
    said = diagnose(tmp_path / "runs")
    assert "3 of 4 gates failed" not in said
    assert 'class_weight = "balanced"' in said
    assert "adapters/mine/system.toml" in said

    # What cross-validation chose is not advised again, but for a field that it chose otherwise for.
    provenance = shelf.with_name("provenance.json")
    for chosen, expected in (("balanced", {}), ("none", {"class_weight": "balanced"})):
        fits = {"folder": {"class_weight": "balanced"}, "priority": {"class_weight": chosen}}
        provenance.write_text(json.dumps({"fits": fits}), encoding="utf-8")
        assert json.loads(diagnose(tmp_path / "runs", "--json"))["recipe"] == expected
    provenance.unlink()

    shelf.write_text(f'{TOML}class_weight = "balanced"\n', encoding="utf-8")
    found = json.loads(diagnose(tmp_path / "runs", "--json"))
    assert found["recipe"] == {}
    assert found["findings"][1]["advice"][0]["spent"]
    assert "没有配方键" in diagnose(tmp_path / "runs", "--lang", "zh")


def test_a_run_that_passed_has_nothing_to_mend(shelf: Path, tmp_path: Path) -> None:
    write_judged_run(tmp_path / "runs", right=20, **TFIDF)
    said = diagnose(tmp_path / "runs")
    assert "none of its 4 gates failed" in said
    assert "To set in" not in said


def test_a_system_that_is_gone_gets_the_first_values(tmp_path: Path) -> None:
    folder = write_judged_run(tmp_path / "runs", right=0, name="gone", **TFIDF)
    found = diagnose_run(read_judged(folder))
    assert found.system is None
    assert found.keys[0] == {"class_weight": "balanced"}


def test_a_run_without_verdicts_is_refused(tmp_path: Path) -> None:
    folder = write_judged_run(tmp_path / "runs", judged=False)
    with pytest.raises(UserError, match="evalkit gate"):
        diagnose_run(read_judged(folder))


KEYS: dict[str, Any] = {
    "hard_share": 0.25,
    "pairs": True,
    "noise.share": 0.3,
    "labels.field": "folder",
    "labels.blank_names": ("Alpha", "Böhm's"),
}


def test_what_is_printed_can_be_pasted() -> None:
    text = to_toml(KEYS, {"normalize": "nfkc"})
    read = tomllib.loads(f'task = "t"\nformat = "json"\nbase = "hf:o/n"\n{text}')
    config = SystemConfig.model_validate(read)
    assert config.normalize == "nfkc"
    command = shlex.split(train_command("mine", KEYS))
    changes = [word for word in command[3:] if word != "--set"]
    assert command[:3] == ["evalkit", "train", "mine"]
    assert changed({}, changes) == config.recipe
