"""`evalkit export --judge`: the gate on the very file, what the export changed, and its proof."""

from __future__ import annotations

import json
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.cli.runs import QUIET
from evalkit.weights.cache import hash_file
from tiny_models import save_base

pytestmark = pytest.mark.skipif(
    find_spec("xllamacpp") is None, reason="the extra gguf is not installed"
)
pytest.importorskip("securesystemslib", reason="the extra attest is not installed")
SUITE = """
def test_intents_accuracy(evaluation, gate):
    gate("intents_accuracy", evaluation.accuracy("intents"))
"""


def typed(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Exit code and output of a command."""
    capsys.readouterr()
    monkeypatch.setattr(sys, "argv", ["evalkit", *arguments])
    with pytest.raises(SystemExit) as stop:
        main()
    said = capsys.readouterr()
    return int(str(stop.value.code)), said.out + said.err


def test_the_exported_file_is_judged_attested_and_verified(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    config = save_base(tmp_path / "base") / "config.json"
    longer = {"max_position_embeddings": 1024}
    config.write_text(json.dumps(json.loads(config.read_text()) | longer))
    files = {
        "adapters/tiny/system.toml": 'task = "intents"\nformat = "labels"\n'
        'base = "../../base"\nadapter = false\n',
        "suites/gates.toml": '[intents_accuracy]\nmin_value = 0.5\nmin_cases = 1\nwhy = "so"\n',
        "suites/test_exported_file.py": SUITE,
        "rows.jsonl": json.dumps({"prompt": "pay", "output": ["payment"]}),
        "pytest.ini": "[pytest]\n",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert pytest.main(["suites", "--model", "tiny", "--data", "rows.jsonl", *QUIET]) == 1
    (tmp_path / "runs" / "9999-broken").mkdir()
    (tmp_path / "runs" / "9999-broken" / "record.json").write_text('{"schema": 0}')
    arguments = ["export", "tiny", "--gguf", "F16", "--judge", "--data", "rows.jsonl"]
    code, out = typed(arguments, monkeypatch, capsys)
    assert code == 1, out
    file = tmp_path / "exports" / "tiny-F16" / "tiny-F16.gguf"
    assert "tiny-F16 may NOT ship" in out
    assert hash_file(file) in out
    assert "answers that differ" in out
    (run,) = (tmp_path / "runs").glob("*-tiny-F16")
    record = json.loads((run / "record.json").read_text())
    assert record["trained_sha256"] == {file.name: hash_file(file)}
    assert record["engine"]["engine"] == "llamacpp"
    # What is attested by the adapter's name is still the run that was judged.
    (judged,) = (tmp_path / "runs").glob("*-tiny")
    assert (judged / "verdicts.json").is_file()
    for name, model in (("tiny", "tiny"), ("tiny-F16", "exports/tiny-F16")):
        for command, ends, says in (
            (f"attest --new-key --key {name}.key", 0, "stays secret"),
            (f"attest {name} --model {model} --key {name}.key", 0, f"{name} FAILED"),
            (f"verify {model} --key {name}.pub", 1, "did not pass: intents_accuracy"),
        ):
            code, said = typed(command.split(), monkeypatch, capsys)
            assert (code, says in said) == (ends, True), said
    file.write_bytes(file.read_bytes()[:-1])
    _, said = typed(["verify", "exports/tiny-F16", "--key", "tiny-F16.pub"], monkeypatch, capsys)
    assert "tiny-F16.gguf differs from the one that was judged" in said


@pytest.mark.parametrize(
    ("option", "says"), [("--suites", "There is no nowhere."), ("--data", "There is no file")]
)
def test_what_the_gate_would_refuse_is_said_before_the_export(
    option: str,
    says: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "suites").mkdir()
    system = tmp_path / "adapters" / "tiny" / "system.toml"
    system.parent.mkdir(parents=True)
    system.write_text('task = "intents"\nformat = "labels"\nbase = "../../base"\n')
    arguments = ["export", "tiny", "--gguf", "F16", "--judge", option, "nowhere"]
    code, said = typed(arguments, monkeypatch, capsys)
    assert (code, says in said) == (4, True), said
