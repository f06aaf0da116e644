from __future__ import annotations

import errno
import io
import json
import os
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from rich.console import Console
from safetensors import safe_open
from transformers import PreTrainedModel

from evalkit.engines.loading import attach_adapter, load_base
from evalkit.errors import UserError
from evalkit.training import saving as saving_module
from evalkit.training import trainer as trainer_module
from evalkit.training.checkpoints import last_checkpoint
from evalkit.training.prefix_sharing import Row
from evalkit.training.progress import ShowProgress
from evalkit.training.recipe import LoraRecipe, Recipe
from evalkit.training.saving import save_adapter
from evalkit.training.trainer import TrainedAdapter, train_adapter
from tiny_models import VOCABULARY, model, save_base

CPU = torch.device("cpu")
PAD = 399
ADAPTER = {"adapter_config.json", "adapter_model.safetensors", "provenance.json"}


def toy_rows(count: int) -> list[Row]:
    """The last prompt token decides the answer; before it stand a prefix and some noise."""
    noise = random.Random(3)
    rows = []
    for number in range(count):
        kind = number % 3
        prompt = [*range(20, 32), *(noise.randrange(VOCABULARY) for _ in range(number % 4)), kind]
        rows.append(
            Row(input_ids=[*prompt, 100 + kind, 110 - kind, PAD], prompt_length=len(prompt))
        )
    return rows


def recipe_of(**changes: Any) -> Recipe:
    plain: dict[str, Any] = {
        "data": "toy",
        "epochs": 4,
        "batch_size": 8,
        "learning_rate": 1e-2,
        "precision": "fp32",
        "lora": LoraRecipe(r=4, alpha=8),
    }
    return Recipe(**plain | changes)


def train(
    folder: Path,
    rows: Sequence[Row],
    dev: Sequence[Row] = (),
    base: PreTrainedModel | None = None,
    console: Console | None = None,
    **changes: Any,
) -> TrainedAdapter:
    return train_adapter(
        base or model("llama"),
        PAD,
        rows,
        dev,
        recipe_of(**changes),
        folder / "checkpoints",
        resume=True,
        console=console or Console(file=io.StringIO()),
    )


def adapter_of(trained: TrainedAdapter) -> dict[str, torch.Tensor]:
    return {n: w.detach().clone() for n, w in trained.model.named_parameters() if w.requires_grad}


def apart(one: TrainedAdapter, other: TrainedAdapter) -> float:
    """Greatest relative distance of two adapters' weights."""
    a, b = adapter_of(one), adapter_of(other)
    assert a.keys() == b.keys()
    return max(float((a[n] - b[n]).norm() / b[n].norm()) for n in b)


# Training


def test_the_adapter_learns_and_the_base_stays(tmp_path: Path):
    base = model("llama")
    before = {name: weight.clone() for name, weight in base.state_dict().items()}
    trained = train(tmp_path, toy_rows(48), toy_rows(12), base, epochs=6)
    untrained = get_peft_model(model("llama"), LoraConfig(r=4, target_modules=["q_proj"]))

    assert trained.steps == 6 * 48 / 8
    weights = adapter_of(trained)
    assert len(weights) == 2 * 7 * 3
    # B starts at zero, so what is not zero has learned.
    assert all(weight.abs().max() > 1e-4 for name, weight in weights.items() if "lora_B" in name)
    after = trained.model.get_base_model().state_dict()
    for name, weight in before.items():
        parent, _, leaf = name.rpartition(".")
        kept = after.get(name, after.get(f"{parent}.base_layer.{leaf}"))
        assert kept is not None
        assert torch.equal(kept, weight), name

    assert trained.dev_loss is not None
    assert trained.dev_loss < 0.5 < 3 < loss_of(untrained, toy_rows(12))
    # The last evaluation is of the last weights.
    assert abs(trained.dev_loss - loss_of(trained.model, toy_rows(12))) < 1e-4
    assert trained.dev_loss < trained.train_loss < 3
    assert trained.seconds > 0


def loss_of(trained: Any, rows: Sequence[Row]) -> float:
    losses = []
    for row in rows:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            logits = trained(input_ids=ids).logits[0]
        start = row["prompt_length"]
        losses.append(torch.nn.functional.cross_entropy(logits[start - 1 : -1], ids[0, start:]))
    return float(torch.stack(losses).mean())


def test_without_dev_rows_there_is_no_dev_loss(tmp_path: Path):
    trained = train(tmp_path, toy_rows(8), epochs=1)
    assert (trained.steps, trained.dev_loss) == (1, None)


def test_the_first_loss_is_that_of_the_untrained_model(tmp_path: Path):
    rows = toy_rows(8)
    trained = train(tmp_path, rows, epochs=1)
    assert abs(trained.train_loss - loss_of(model("llama"), rows)) < 1e-4


def test_accumulated_batches_are_as_one(tmp_path: Path):
    """Answers of different lengths, so that a mean of means would be another number."""
    rows = toy_rows(32)
    for row in rows[::3]:
        row["input_ids"] = row["input_ids"][:-2]
    given = {"epochs": 2, "learning_rate": 1e-3}
    one = train(tmp_path / "1", rows, base=shallow(), batch_size=8, **given)
    halves = {"batch_size": 4, "gradient_accumulation": 2}
    two = train(tmp_path / "2", rows, base=shallow(), **halves, **given)
    assert one.steps == two.steps == 8
    assert apart(one, two) < 1e-3
    assert abs(one.train_loss - two.train_loss) < 1e-4


def test_the_seed_decides(tmp_path: Path):
    first, second, other = (
        train(tmp_path / str(run), toy_rows(16), base=shallow(), epochs=1, seed=seed)
        for run, seed in enumerate((1, 1, 2))
    )
    assert apart(first, second) == 0
    assert apart(first, other) > 0.1


@pytest.mark.parametrize(
    "changes",
    [
        {"precision": "bf16"},
        {"optimizer": "adamw-8bit"},
        {"schedule": "linear", "warmup": 0.0},
        {"schedule": "constant", "warmup": 0.3},
        {"schedule": "constant", "warmup": 0.0, "weight_decay": 0.1},
        {"lora": LoraRecipe(r=4, alpha=8, dropout=0.1, targets=("q_proj", "o_proj"))},
        {"lora": LoraRecipe(r=4, alpha=8, rslora=True, targets=("q_proj", "o_proj"))},
        {"batch_size": 16, "tokens_per_batch": 60},
    ],
)
def test_every_option_of_a_recipe_trains(changes: dict[str, Any], tmp_path: Path):
    trained = train(tmp_path, toy_rows(24), toy_rows(6), shallow(), epochs=6, **changes)
    start = loss_of(shallow(), toy_rows(6))
    assert trained.dev_loss is not None
    assert trained.dev_loss < 0.7 * start
    targets = changes.get("lora", LoraRecipe()).targets
    assert len(adapter_of(trained)) == 2 * len(targets)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_an_evaluation_does_not_disturb_training_over_four_bits(tmp_path: Path, precision: str):
    """In an evaluation, bitsandbytes repacks 4-bit weights on some processors.

    After that it trains on with wrong gradients. All rows are in one batch here, so that the
    order in which they come does not matter.
    """
    folder = save_base(tmp_path / "base", hidden=64)
    dtype = torch.float32 if precision == "fp32" else torch.bfloat16

    def run(name: str, dev: Sequence[Row]) -> TrainedAdapter:
        base = load_base(folder, device=CPU, dtype=dtype, quantization="nf4")
        options = {"quantization": "nf4", "precision": precision, "learning_rate": 1e-3}
        return train(tmp_path / name, toy_rows(12), dev, base, batch_size=12, epochs=6, **options)

    with_evaluation, without = run("with", toy_rows(3)), run("without", ())
    assert with_evaluation.steps == without.steps == 6
    assert apart(with_evaluation, without) < (1e-3 if precision == "fp32" else 0.1)
    weights = adapter_of(without)
    assert all(weight.abs().max() > 0 for weight in weights.values())


def test_one_process_trains_on_one_device(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With several, Trainer would cut the shared prefix into pieces as if it were rows."""
    arguments = trainer_module.TrainingArguments
    set_up = arguments.__post_init__

    def two_devices(self: Any) -> None:
        set_up(self)
        self._n_gpu = 2

    monkeypatch.setattr(arguments, "__post_init__", two_devices)
    one = train(tmp_path, toy_rows(16), epochs=1)
    assert one.steps == 2, "a batch of eight on one device, not on each of two"


@pytest.mark.parametrize("targets", [("q_prj",), ("q_proj", "v_prj")])
def test_a_layer_that_is_not_there_is_a_user_error(targets: tuple[str, ...], tmp_path: Path):
    with pytest.raises(UserError, match=r"no layer '._prj'\. Did you mean '._proj'"):
        train(tmp_path, toy_rows(8), lora=LoraRecipe(targets=targets))
    named = LoraRecipe(targets=("self_attn.q_proj",))
    assert len(adapter_of(train(tmp_path, toy_rows(8), epochs=1, lora=named))) == 2 * 3


def test_dora_learns_magnitudes_too(tmp_path: Path):
    lora = LoraRecipe(r=4, alpha=8, dora=True, targets=("q_proj",))
    trained = train(tmp_path, toy_rows(8), epochs=1, lora=lora)
    assert sum("lora_magnitude" in name for name in adapter_of(trained)) == 3


def test_training_ends_after_so_many_steps(tmp_path: Path):
    rows = toy_rows(32)
    trained = train(tmp_path, rows, rows[:4], max_steps=5, epochs=100)
    assert trained.steps == 5
    assert trained.dev_curve[-1][0] == 5


def test_batches_of_tokens_take_several_rows(tmp_path: Path):
    rows = toy_rows(32)
    trained = train(tmp_path, rows, epochs=2, batch_size=16, tokens_per_batch=12 + 4 * 8)
    assert 2 * 32 / 6 <= trained.steps <= 2 * 32 / 3


def test_training_stops_where_the_dev_loss_rises_and_keeps_the_best(tmp_path: Path):
    """The dev rows contradict what is learned, so that their loss falls and then rises."""
    rows, dev = toy_rows(24), toy_rows(9)
    for number, row in enumerate(dev):
        row["input_ids"][-3] = 100 + (number + number // 3) % 3
    options = {"epochs": 30, "learning_rate": 3e-3, "early_stopping": 2, "dev_rows": 9}
    trained = train(tmp_path, rows, dev, **options)
    losses = [loss for _, loss in trained.dev_curve]
    best = losses.index(min(losses))
    assert len(losses) == best + 3 < 30
    assert trained.dev_loss == losses[best]
    assert abs(loss_of(trained.model, dev) - losses[best]) < 1e-4


@pytest.mark.parametrize("accumulation", [1, 2])
def test_a_loss_that_is_no_number_ends_training(accumulation: int, tmp_path: Path):
    with pytest.raises(UserError, match=r"diverged: the loss became (nan|inf) after \d+ steps"):
        train(tmp_path, toy_rows(24), learning_rate=1e20, gradient_accumulation=accumulation)
    assert last_checkpoint(tmp_path / "checkpoints") is None


@pytest.mark.parametrize(("spoilt_at", "kept_of", "what"), [(4, 2, "weight"), (5, 4, "loss")])
def test_a_training_that_diverges_keeps_the_last_sound_checkpoint(
    spoilt_at: int, kept_of: int, what: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """No checkpoint is made of spoilt weights, though no loss has been computed with them yet."""
    monkeypatch.setattr(trainer_module, "SAVE_STEPS", 2)
    monkeypatch.setattr(trainer_module, "LOG_STEPS", 2)
    ordinary = torch.optim.AdamW.step
    steps = 0

    def step(optimizer: Any, *given: Any, **named: Any) -> Any:
        nonlocal steps
        steps += 1
        done = ordinary(optimizer, *given, **named)
        if steps == spoilt_at:
            with torch.no_grad():
                optimizer.param_groups[0]["params"][0].fill_(float("nan"))
        return done

    monkeypatch.setattr(torch.optim.AdamW, "step", step)
    with pytest.raises(UserError, match=f"diverged: the {what} .*became") as caught:
        train(tmp_path, toy_rows(24), epochs=4)
    kept = last_checkpoint(tmp_path / "checkpoints")
    assert kept is not None
    assert kept.name == f"checkpoint-{kept_of}"
    assert str(kept) in str(caught.value)
    with safe_open(kept / "adapter_model.safetensors", "pt") as file:
        assert all(torch.isfinite(file.get_tensor(name)).all() for name in file.keys())  # noqa: SIM118


def test_a_dev_loss_that_is_no_number_ends_training(tmp_path: Path):
    base = model("llama")
    rows = toy_rows(24)
    with torch.no_grad():
        base.get_input_embeddings().weight[398] = float("inf")
    bad = Row(input_ids=[20, 398, 100, 110, PAD], prompt_length=2)
    with pytest.raises(UserError, match="the dev loss became nan"):
        train(tmp_path, rows, [bad], base=base)


def test_a_logger_that_is_not_installed_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trainer_module.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(UserError, match="'trackio' is not installed here"):
        train(tmp_path, toy_rows(8), report_to=("trackio",))


def test_a_full_disk_leaves_the_earlier_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(trainer_module, "SAVE_STEPS", 4)
    monkeypatch.setattr(trainer_module, "LOG_STEPS", 2)
    save = trainer_module.Trainer._save_checkpoint

    def fill(self: Any, *given: Any, **named: Any) -> None:
        if self.state.global_step > 4:
            raise OSError(errno.ENOSPC, "No space left on device")
        save(self, *given, **named)

    monkeypatch.setattr(trainer_module.Trainer, "_save_checkpoint", fill)
    with pytest.raises(UserError, match="is full"):
        train(tmp_path, toy_rows(32), base=shallow(), **LONG)
    checkpoints = tmp_path / "checkpoints"
    assert last_checkpoint(checkpoints) == checkpoints / "checkpoint-4"


# Interruptions


class Interrupted(ShowProgress):
    """Presses Ctrl-C after a step."""

    after = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if state.global_step == self.after:
            raise KeyboardInterrupt


def interrupt(after: int, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    monkeypatch.setattr(Interrupted, "after", after)
    monkeypatch.setattr(trainer_module, "ShowProgress", Interrupted)
    return lambda: monkeypatch.setattr(trainer_module, "ShowProgress", ShowProgress)


LONG = {"epochs": 3, "batch_size": 4, "learning_rate": 1e-3}
"""24 steps of 32 rows, 8 to an epoch."""


def shallow() -> PreTrainedModel:
    return model("llama", layers=1)


@pytest.mark.parametrize("saved", [8, 10], ids=["at an epoch's end", "within an epoch"])
def test_a_resumed_training_ends_as_an_uninterrupted_one(
    saved: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert trainer_module.SAVE_STEPS % trainer_module.LOG_STEPS == 0
    monkeypatch.setattr(trainer_module, "SAVE_STEPS", saved)
    monkeypatch.setattr(trainer_module, "LOG_STEPS", 2)
    rows, dev = toy_rows(32), toy_rows(6)
    whole = train(tmp_path / "whole", rows, dev, shallow(), **LONG)
    go_on = interrupt(13, monkeypatch)
    with pytest.raises(KeyboardInterrupt):
        train(tmp_path / "cut", rows, dev, shallow(), **LONG)
    checkpoints = tmp_path / "cut" / "checkpoints"
    assert last_checkpoint(checkpoints) == checkpoints / f"checkpoint-{saved}"
    # One that was being written when the power went, of the step that was trained last.
    (checkpoints / "checkpoint-13").mkdir()
    for name in ("adapter_model.safetensors", "adapter_config.json", "optimizer.pt"):
        content = (checkpoints / f"checkpoint-{saved}" / name).read_bytes()
        (checkpoints / "checkpoint-13" / name).write_bytes(content)
    go_on()
    resumed = train(tmp_path / "cut", rows, dev, shallow(), **LONG)
    assert resumed.steps == whole.steps == 24
    assert apart(resumed, whole) < 1e-6
    assert resumed.dev_loss == pytest.approx(whole.dev_loss, rel=1e-5)
    assert resumed.train_loss == pytest.approx(whole.train_loss, rel=1e-5)

    # Interrupted after the last step, before the adapter is saved.
    again = train(tmp_path / "cut", rows, dev, shallow(), **LONG)
    assert apart(again, whole) < 1e-6
    assert again.dev_loss == pytest.approx(whole.dev_loss, rel=1e-5)
    assert again.train_loss == pytest.approx(whole.train_loss, rel=1e-5)


@pytest.mark.parametrize("interrupted", [True, False])
def test_the_terminals_cursor_comes_back(
    interrupted: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shown = io.StringIO()
    console = Console(file=shown, force_terminal=True, width=100, highlight=False)
    if interrupted:
        interrupt(1, monkeypatch)
        with pytest.raises(KeyboardInterrupt):
            train(tmp_path, toy_rows(16), toy_rows(4), console=console)
    else:
        train(tmp_path, toy_rows(16), toy_rows(4), console=console, epochs=2)
        assert "epoch 2.00: dev loss" in shown.getvalue()
        assert "4/4 steps, loss" in shown.getvalue()
    hidden, back = "\x1b[?25l", "\x1b[?25h"
    assert shown.getvalue().count(hidden) == shown.getvalue().count(back) == 1


def test_a_line_now_and_then_without_a_terminal(tmp_path: Path):
    shown = io.StringIO()
    options = {"console": Console(file=shown), "epochs": 10, "batch_size": 4}
    train(tmp_path, toy_rows(20), toy_rows(4), shallow(), **options)
    lines = [line for line in shown.getvalue().splitlines() if line]
    assert [line for line in lines if line.startswith("training: step 50/50, loss ")]
    assert len([line for line in lines if ": dev loss " in line]) == 10
    assert len(lines) == 11


# Saving


def trained_adapter(seed: int = 0) -> PeftModel:
    torch.manual_seed(seed)
    config = LoraConfig(
        r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM", init_lora_weights=False
    )
    return get_peft_model(model("llama"), config)


def test_an_adapter_is_written_as_peft_reads_it(tmp_path: Path):
    with_path = model("llama")
    with_path.name_or_path = with_path.config._name_or_path = "/home/someone/base"
    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], task_type="CAUSAL_LM")
    trained = get_peft_model(with_path, config)
    save_adapter(trained, "hf:Tiny/Model", {"schema": 1, "name": "飞"}, tmp_path)

    assert {path.name for path in tmp_path.iterdir()} == ADAPTER
    with safe_open(tmp_path / "adapter_model.safetensors", "pt") as file:
        assert len(list(file.keys())) == 2 * 2 * 3
        assert {file.get_tensor(name).dtype for name in file.keys()} == {torch.bfloat16}  # noqa: SIM118
        assert file.metadata() == {"format": "pt"}
    written = json.loads((tmp_path / "adapter_config.json").read_text())
    assert written["base_model_name_or_path"] == "hf:Tiny/Model"
    assert written["inference_mode"] is True
    assert sorted(written["target_modules"]) == ["down_proj", "q_proj"]
    assert not [path for path in tmp_path.iterdir() if b"/home/someone" in path.read_bytes()]
    written = (tmp_path / "provenance.json").read_text(encoding="utf-8")
    assert '"name": "飞",\n  "trained_sha256": {' in written
    assert written.endswith("}\n")
    # What was handed over stays as it was.
    assert trained.peft_config["default"].base_model_name_or_path == "/home/someone/base"
    assert trained.peft_config["default"].inference_mode is False
    attach_adapter(model("llama"), tmp_path)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("older", [False, True])
@pytest.mark.parametrize(
    "moment", ["weights", "config", "provenance", "move 1", "move 2", "move 3"]
)
def test_an_interruption_leaves_no_half_adapter(
    older: bool, moment: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    if older:
        save_adapter(trained_adapter(1), "hf:Older/Model", {"of": "older"}, tmp_path)
    before = contents(tmp_path)
    moves = 0

    def stop(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    def move(path: Path, target: Path, _: Any = Path.replace) -> Any:
        nonlocal moves
        moves += 1
        return stop() if moment == f"move {moves}" else _(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", move)
        if moment == "weights":
            patched.setattr(saving_module, "save_file", stop)
        if moment == "config":
            patched.setattr(LoraConfig, "save_pretrained", stop)
        if moment == "provenance":
            patched.setattr(Path, "write_text", stop)
        with pytest.raises(KeyboardInterrupt):
            save_adapter(trained_adapter(2), "hf:Newer/Model", {"of": "newer"}, tmp_path)

    assert set(contents(tmp_path)) <= ADAPTER
    if moment.startswith("move"):
        # An adapter counts as here when its weights are.
        assert "adapter_model.safetensors" not in contents(tmp_path)
    else:
        assert contents(tmp_path) == before

    save_adapter(trained_adapter(2), "hf:Newer/Model", {"of": "newer"}, tmp_path)
    assert set(contents(tmp_path)) == ADAPTER
    assert b"newer" in (tmp_path / "provenance.json").read_bytes()


def test_what_a_killed_process_left_behind_is_no_obstacle(tmp_path: Path):
    (tmp_path / f".making-{os.getpid()}").mkdir()
    save_adapter(trained_adapter(), "hf:Tiny/Model", {}, tmp_path)
    assert set(contents(tmp_path)) == ADAPTER
