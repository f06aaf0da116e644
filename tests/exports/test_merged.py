from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import build_engine
from evalkit.errors import UserError
from evalkit.evaluation import build_requests
from evalkit.exports.merged import export_merged
from evalkit.records import Example
from evalkit.run_record import Provenance
from evalkit.systems import load_system
from evalkit.tasks import task_names
from evalkit.tasks.task import BUILT_IN
from evalkit.training.saving import save_adapter
from tiny_models import model, save_base

pytestmark = pytest.mark.usefixtures("few_tokens")

EXAMPLES = [Example(str(n), {"prompt": f"pay {n}"}, {"intents": ("payment",)}) for n in range(4)]


@pytest.fixture(params=["intents", "wishes.toml"])
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A system with an adapter that changes its answers."""
    save_base(tmp_path / "secret" / "base")
    made = tmp_path / "adapters" / "tiny"
    made.mkdir(parents=True)
    (made / "system.toml").write_text(
        f'task = "{request.param}"\nformat = "labels"\nbase = "../../secret/base"\n'
        'summary = "tiny \\"one\\""\n'
    )
    (made / "wishes.toml").write_bytes((BUILT_IN / "intents.toml").read_bytes())
    (made / "contamination.bin").write_bytes(b"as it is")
    torch.manual_seed(1)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    trained = get_peft_model(model("llama"), config)
    save_adapter(trained, "../../secret/base", {}, made)  # type: ignore[arg-type]
    return made


def answers(folder: Path) -> list[tuple[int, ...]]:
    system = load_system(folder)
    engine = build_engine(system, EngineOptions("cpu", "fp32"))
    said = dict(engine.complete(list(build_requests(system.task, system.format, EXAMPLES))))
    return [said[example.id].token_ids for example in EXAMPLES]


def test_the_merged_model_answers_as_the_adapter_did(folder: Path, tmp_path: Path):
    to = tmp_path / "merged"
    export_merged(load_system(folder), to, "fp32")
    assert answers(to) == answers(folder)
    assert (to / "contamination.bin").read_bytes() == b"as it is"
    system = load_system(to)
    assert system.config.summary == 'tiny "one", merged'
    assert system.task == load_system(folder).task
    assert "intents" in task_names()
    assert not [
        path.name
        for path in to.rglob("*")
        if path.name != "system.toml" and b"secret" in path.read_bytes()
    ]


@pytest.mark.parametrize("kind", ["fp32", "F16"])
def test_an_export_is_of_known_rows_where_its_adapter_is(kind: Any, folder: Path, tmp_path: Path):
    def exported(to: str) -> Path | None:
        """The file of the export that is not what the training, or the export, wrote."""
        system, where = load_system(folder), tmp_path / to
        if kind == "fp32":
            export_merged(system, where, kind)
        else:
            pytest.importorskip("gguf", reason="the extra gguf is not installed")
            from evalkit.exports.gguf_folder import export_gguf

            export_gguf(system, where, kind)
        provenance = Provenance.read(where)
        assert provenance
        return provenance.replaced_weights(where)

    assert exported("honest") is None
    (weights,) = (p for p in (tmp_path / "honest").iterdir() if p.stat().st_size > 50_000)
    weights.write_bytes(weights.read_bytes()[:-1])
    provenance = Provenance.read(weights.parent)
    assert provenance
    assert provenance.replaced_weights(weights.parent) == weights
    adapter = folder / "adapter_model.safetensors"
    save_file({k: 2 * v for k, v in load_file(adapter).items()}, adapter)
    assert exported("swapped") == tmp_path / "swapped" / adapter.name


@pytest.mark.parametrize(
    ("precision", "dtype"), [("bf16", torch.bfloat16), ("fp32", torch.float32)]
)
def test_precision(precision: str, dtype: torch.dtype, folder: Path, tmp_path: Path):
    export_merged(load_system(folder), tmp_path / "merged", precision)  # type: ignore[arg-type]
    with safe_open(tmp_path / "merged" / "model.safetensors", "pt") as file:
        assert {file.get_tensor(name).dtype for name in file.keys()} == {dtype}  # noqa: SIM118


def test_what_cannot_be_exported_is_refused(folder: Path, tmp_path: Path):
    system = load_system(folder)
    with pytest.raises(UserError, match="is not empty"):
        export_merged(system, folder, "bf16")
    (folder / "adapter_model.safetensors").unlink()
    with pytest.raises(UserError, match="has not been trained"):
        export_merged(load_system(folder), tmp_path / "merged", "bf16")
    text = (folder / "system.toml").read_text()
    (folder / "system.toml").write_text(text + "adapter = false\n")
    with pytest.raises(UserError, match="no adapter to merge"):
        export_merged(load_system(folder), tmp_path / "merged", "bf16")
    assert not (tmp_path / "merged").exists()


def test_how_it_is_asked_and_read_stays(folder: Path, tmp_path: Path):
    path = folder / "system.toml"
    settings = 'decoding = "constrained"\nquantization = "nf4"\n[recipe]\ndata = "rows.jsonl"\n'
    path.write_text(path.read_text() + settings)
    export_merged(load_system(folder), tmp_path / "merged", "fp32")
    merged, before = (load_system(where).config for where in (tmp_path / "merged", folder))
    assert (merged.decoding, merged.format) == ("constrained", before.format)
    # The sum is in full precision, and nothing is left to train.
    assert (merged.quantization, merged.recipe, merged.adapter) == ("none", {}, False)
