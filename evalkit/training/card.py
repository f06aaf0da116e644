"""What lies beside an adapter for people: a model card and the loss curve."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def model_card(provenance: Mapping[str, Any], *, plotted: bool) -> str:
    """A README.md for an adapter, made of its provenance.

    Args:
        provenance: what `provenance.json` says.
        plotted: whether `loss.png` lies beside it.
    """
    recipe, rows = provenance["recipe"], provenance["rows"]
    lora = recipe["lora"]
    base = provenance["base"]
    front = ["---", "library_name: peft", "pipeline_tag: text-generation"]
    # Only a hub's name means something to the hub.
    if base.startswith("hf:"):
        front.append(f"base_model: {base.removeprefix('hf:')}")
    accuracy = provenance["dev_accuracy"]
    figures = [f"| {name} | {100 * share:.1f} % |" for name, share in accuracy.items()]
    dev_loss = provenance["dev_loss"]
    lines = [
        *front,
        "---",
        "",
        f"# {provenance['system']}",
        "",
        f"A LoRA adapter (r={lora['r']}, alpha={lora['alpha']}) for the task "
        f"`{provenance['task']}`, answers in the `{provenance['format']}` format, on `{base}`.",
        "",
        "## On held-out rows",
        "",
    ]
    if accuracy:
        lines += [
            f"{rows['dev']:,} rows cut from the training data, decoded greedily:",
            "",
            "| accuracy | |",
            "|---|---|",
            *figures,
            "",
            "They are of the training data's making, so they are no test set.",
            "",
        ]
    else:
        lines += ["None were held out.", ""]
    lines += [
        "## How it was made",
        "",
        "| | |",
        "|---|---|",
        f"| data | `{provenance['data']}`, {rows['trained_on']:,} rows trained on, "
        f"{rows['duplicates_dropped']:,} exact duplicates dropped |",
        f"| steps | {provenance['steps']:,} in {recipe['epochs']:g} epochs of "
        f"batches of {_batch(recipe)} |",
        f"| learning rate | {recipe['learning_rate']:g}, {recipe['schedule']} |",
        f"| loss | {provenance['train_loss']:.4f} on average"
        + (f", {dev_loss:.4f} on held-out rows |" if dev_loss is not None else " |"),
        f"| time | {provenance['seconds'] / 60:.0f} minutes on {provenance['device']} |",
        "",
        *(["![loss](loss.png)", ""] if plotted else []),
        "`provenance.json` has the whole recipe, hashes and versions; `contamination.bin` tells "
        "which rows it was trained on without holding their text.",
        "",
    ]
    return "\n".join(lines)


def can_plot() -> bool:
    """Whether matplotlib is installed."""
    return importlib.util.find_spec("matplotlib") is not None


def plot_loss(
    curve: Sequence[tuple[int, float]], dev_curve: Sequence[tuple[int, float]], path: Path
) -> None:
    """Draw the loss over the steps as a PNG."""
    # The figure's own canvas: pyplot would look for a display.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4), layout="constrained")
    axes = figure.subplots()
    axes.plot(*zip(*curve, strict=True), label="training", linewidth=1)
    if dev_curve:
        axes.plot(*zip(*dev_curve, strict=True), "o-", label="held-out rows")
    axes.set_yscale("log")
    axes.set_xlabel("step")
    axes.set_ylabel("loss per answer token (nats)")
    axes.legend()
    # Without the version, the same curve gives the same bytes.
    figure.savefig(path, dpi=100, metadata={"Software": None})


def _batch(recipe: Mapping[str, Any]) -> str:
    if recipe["tokens_per_batch"]:
        return f"{recipe['tokens_per_batch']:,} tokens"
    return f"{recipe['batch_size'] * recipe['gradient_accumulation']} rows"
