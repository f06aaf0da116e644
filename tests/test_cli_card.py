"""`evalkit card`, as its user meets it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import httpx2
import huggingface_hub
import pytest
import yaml
from huggingface_hub import ModelCard, parse_eval_result_entries
from typer.testing import CliRunner, Result

from evalkit.cli import app
from evalkit.errors import UserError
from judged_runs import write_judged_run

SYSTEM = 'task = "notifications-3level"\nformat = "json"\nbase = "hf:Tiny/Model"\n'


class Shelf:
    """A shelf with one adapter, and its runs."""

    def __init__(self, root: Path) -> None:
        self.folder, self.runs = root / "adapters" / "mine", root / "runs"
        self.folder.mkdir(parents=True)
        (self.folder / "system.toml").write_text(SYSTEM)
        (self.folder / "adapter_config.json").write_text("{}")
        self.train("first")

    def train(self, weights: str) -> None:
        (self.folder / "adapter_model.safetensors").write_text(weights)

    def run(self, runs: Path | None = None, **changes: Any) -> Path:
        names = ("adapter_config.json", "adapter_model.safetensors")
        hashes = {n: hashlib.sha256((self.folder / n).read_bytes()).hexdigest() for n in names}
        return write_judged_run(runs or self.runs, **{"trained_sha256": hashes} | changes)

    def card(self, *arguments: str) -> Result:
        command = ["card", str(self.folder), "--runs", str(self.runs), *arguments]
        return CliRunner().invoke(app, command)

    def refusal(self, *arguments: str) -> str:
        found = self.card(*arguments)
        assert isinstance(found.exception, UserError), found.output
        assert not (self.folder / "README.md").exists()
        return str(found.exception)


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Shelf:
    monkeypatch.chdir(tmp_path)  # where no criteria are in force
    # No base of that name is looked for outside.
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    return Shelf(tmp_path)


def test_the_card_is_of_the_newest_run_and_lies_with_the_adapter(shelf: Shelf):
    shelf.run(right=20)
    newest = shelf.run(right=12)
    found = shelf.card("--json")
    assert found.exit_code == 0, found.output
    said = json.loads(found.stdout)
    assert said["run"] == newest.name
    assert said["may_ship"] is False
    card = ModelCard.load(said["card"])
    assert Path(said["card"]) == shelf.folder / "README.md"
    assert len(card.data.eval_results) == said["results"]
    verdicts = json.loads((newest / "verdicts.json").read_text())
    (accuracy,) = [r for r in card.data.eval_results if r.metric_name == "accuracy"]
    assert accuracy.metric_value == verdicts["gates"][0]["estimate"]["value"] == 0.6
    assert not (shelf.folder / ".eval_results").exists()


def test_another_run_and_another_folder(shelf: Shelf, tmp_path: Path):
    good = shelf.run(right=20)
    shelf.run(right=12)
    found = shelf.card("--run", good.name, "--to", str(tmp_path / "there" / "deep"))
    assert found.exit_code == 0, found.output
    assert "may ship" in found.stdout
    assert "--license and --language" in found.stderr
    assert "other criteria" not in found.stderr
    assert ModelCard.load(tmp_path / "there" / "deep" / "README.md").data.eval_results
    assert not (shelf.folder / "README.md").exists()


def test_a_run_judged_by_other_criteria_than_those_in_force_says_so(shelf: Shelf, tmp_path: Path):
    shelf.run(right=20)
    (tmp_path / "suites").mkdir()
    (tmp_path / "suites" / "gates.toml").write_text("[x]\nmin_value = 0.9\nwhy = 'x'\n")
    assert "judged by other criteria" in shelf.card().stderr
    assert "may ship: all 4 gates passed; it was judged by other criteria" in (
        shelf.folder / "README.md"
    ).read_text(encoding="utf-8")


def test_a_licence_is_kept(shelf: Shelf):
    shelf.run()
    assert shelf.card("--license", "apache-2.0", "--language", "en").exit_code == 0
    again = shelf.card()
    assert again.exit_code == 0
    assert again.stderr == ""
    data = ModelCard.load(shelf.folder / "README.md").data
    assert (data.license, data.language) == ("apache-2.0", "en")


def test_a_front_matter_that_is_broken_is_not_overwritten(shelf: Shelf):
    shelf.run()
    mine = "---\n: [\n---\nmy text"
    (shelf.folder / "README.md").write_text(mine)
    found = shelf.card()
    assert isinstance(found.exception, UserError)
    assert "front matter" in str(found.exception)
    assert (shelf.folder / "README.md").read_text() == mine


def test_a_retrained_adapter_needs_a_new_run(shelf: Shelf):
    shelf.run()
    shelf.train("second")
    said = shelf.refusal()
    assert "adapter_model.safetensors changed since" in said
    assert "pytest suites/ --model" in said
    shelf.run()
    assert shelf.card().exit_code == 0


def test_the_run_of_the_adapter_that_is_there_again(shelf: Shelf):
    old = shelf.run()
    shelf.train("second")
    shelf.run(right=20)
    shelf.train("first")
    assert json.loads(shelf.card("--json").stdout)["run"] == old.name


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"judged": False}, "it was not judged. `evalkit gate"),
        ({"partial": True}, "chosen tests only"),
        ({"left_out": 4}, "is of 20 of 24 rows only"),
        ({"name": "another"}, "is a run of another, not of mine"),
        ({"base": "hf:Other/Model"}, "the base changed since"),
        ({"task_sha256": "0" * 64}, "the task changed since"),
        ({"trained_sha256": {}}, "adapter_config.json, adapter_model.safetensors changed"),
    ],
)
def test_a_run_that_is_not_fit(shelf: Shelf, changes: dict[str, Any], said: str):
    run = shelf.run(**changes)
    assert said in shelf.refusal("--run", run.name)


def test_without_any_run(shelf: Shelf):
    assert "There is no run of mine" in shelf.refusal()
    shelf.run(name="another")
    broken = shelf.run()
    (broken / "record.json").write_text("{}")
    assert "There is no run of mine" in shelf.refusal()


def test_changed_predictions_are_no_evidence(shelf: Shelf):
    run = shelf.run()
    path = run / "predictions.jsonl"
    path.write_text(path.read_text().replace('"Work"', '"Home"', 1))
    assert "was changed after the run" in shelf.refusal()


def test_what_has_no_adapter_needs_no_card(shelf: Shelf):
    (shelf.folder / "system.toml").write_text(SYSTEM + "adapter = false\n")
    assert "needs no card" in shelf.refusal()


def test_provenance_that_training_never_wrote(shelf: Shelf):
    shelf.run()
    for content in ('{"rows": {"dev": "x"}, "dev_accuracy": {"a": 1}}', "[]", "{"):
        (shelf.folder / "provenance.json").write_text(content)
        assert "provenance.json" in shelf.refusal()


def test_a_benchmark_of_the_hub(shelf: Shelf):
    shelf.run()
    assert "names a benchmark on the Hub" in shelf.refusal("--benchmark", "three")
    run = shelf.run(source="hf:owner/rows")
    found = shelf.card("--benchmark", "three", "--json")
    written = Path(json.loads(found.stdout)["eval_results"])
    assert written == shelf.folder / ".eval_results" / "evalkit.yaml"
    (entry,) = parse_eval_result_entries(yaml.safe_load(written.read_text()))
    verdicts = json.loads((run / "verdicts.json").read_text())
    assert entry.value == verdicts["measured"]["all fields right"]["value"]


class Hub:
    """Stands in for `HfApi`."""

    calls: list[tuple[str, Any]] = []  # noqa: RUF012 (one for all, emptied by each test)
    fault: Exception | None = None

    def __init__(self, **_: Any) -> None:
        return

    def create_repo(self, repo: str, **options: Any) -> None:
        if Hub.fault:
            raise Hub.fault
        Hub.calls.append((repo, options))

    def create_commit(self, repo: str, operations: list[Any], **_: Any) -> None:
        Hub.calls.append((repo, {o.path_in_repo: o.path_or_fileobj for o in operations}))


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> type[Hub]:
    monkeypatch.setattr(huggingface_hub, "HfApi", Hub)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "token")
    Hub.calls, Hub.fault = [], None
    return Hub


def test_push_puts_adapter_and_card_on_the_hub(shelf: Shelf, hub: type[Hub], tmp_path: Path):
    shelf.run(source="hf:owner/rows")
    (shelf.folder / "contamination.bin").write_text("x")
    (shelf.folder / "checkpoints").mkdir()
    to = str(tmp_path / "out")
    found = shelf.card("--push", "me/mine", "--to", to, "--benchmark", "three", "--json")
    assert json.loads(found.stdout)["pushed"] == "https://huggingface.co/me/mine"
    (repo, options), (_, files) = hub.calls
    assert (repo, options) == ("me/mine", {"private": True, "exist_ok": True})
    assert set(files) == {
        "README.md",
        ".eval_results/evalkit.yaml",
        "adapter_config.json",
        "adapter_model.safetensors",
        "contamination.bin",
        "system.toml",
    }
    assert Path(files["README.md"]) == Path(to, "README.md")
    assert 'PeftModel.from_pretrained(model, "me/mine")' in Path(to, "README.md").read_text()


def test_push_without_a_token_writes_nothing(shelf: Shelf):
    shelf.run()
    assert "HF_TOKEN" in shelf.refusal("--push", "me/mine")


@pytest.mark.parametrize("repo", ["mine", "a/b/c", "me/..", "me/na me"])
def test_push_to_what_is_no_repository(shelf: Shelf, hub: type[Hub], repo: str):
    shelf.run()
    assert f"--push {repo}" in shelf.refusal("--push", repo)
    assert hub.calls == []


@pytest.mark.parametrize(
    "fault", [httpx2.ConnectError("no route to host"), OSError("reset"), ValueError("Forbidden")]
)
def test_push_that_the_hub_refuses(shelf: Shelf, hub: type[Hub], fault: Exception):
    shelf.run()
    hub.fault = fault
    found = shelf.card("--push", "me/mine")
    assert isinstance(found.exception, UserError)
    assert str(fault) in str(found.exception)
    assert "Is there a network" in str(found.exception)


@pytest.mark.parametrize("arguments", [("--license", "Apache 2"), ("--language", "English")])
def test_what_the_hub_would_not_read(shelf: Shelf, arguments: tuple[str, str]):
    shelf.run()
    assert arguments[0] in shelf.refusal(*arguments)
