"""What an adapter's files say of it, before anything is loaded.

Several systems share one base in memory. Whether an adapter may be put on it is decided here, from
its config and the names of its tensors: what changes anything but its own tensors gets a base of
its own, and what evalkit's engine cannot ask at all is refused.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

ADAPTER_FILES = CONFIG, WEIGHTS = ("adapter_config.json", "adapter_model.safetensors")
PICKLE = "adapter_model.bin"
TO_SAFETENSORS = (
    'python -c "import torch; from safetensors.torch import save_file; '
    f"w = torch.load('{PICKLE}', map_location='cpu', weights_only=True); "
    "save_file({k: v.clone().contiguous() for k, v in w.items()}, "
    f"'{WEIGHTS}', {{'format': 'pt'}})\""
)
"""Run in an adapter's folder. `weights_only` unpickles tensors and runs no code."""

_MERGE = (
    "Merge it into its base where it was trained (`merge_and_unload`), save model and tokenizer, "
    'and judge that folder (`base = "FOLDER"`, `adapter = false`)'
)
_SERVE = 'Serve it where it runs, and judge it with engine = "endpoint"'

_IN_LAYERS = {"LORA", "IA3", "LOHA", "LOKR", "OFT", "HRA", "LN_TUNING", "TRAINABLE_TOKENS"}
"""Kinds that work inside the layers they are put on, and nowhere else."""
_VIRTUAL_TOKENS = {
    "PROMPT_TUNING",
    "MULTITASK_PROMPT_TUNING",
    "P_TUNING",
    "PREFIX_TUNING",
    "CPT",
    "CARTRIDGE",
    "ADAPTION_PROMPT",
}
_OTHER_COURSES = (
    "alora_invocation_tokens",
    "arrow_config",
    "kasa_config",
    "layer_replication",
    "megatron_config",
    "monteclora_config",
    "target_parameters",
    "use_bdlora",
    "use_qalora",
    "velora_config",
)
"""Options with which LoRA is more than a product beside a layer's."""
_OWN_TENSORS = re.compile(r"\.lora_(?:A|B|embedding_A|embedding_B|magnitude_vector)(?:\.|$)")
_PLAIN_STARTS = (True, False, None, "gaussian", "orthogonal", "eva")
"""Initialisations that leave the base as it is."""
_LOST_STARTS = ("pissa_niter", "corda", "lora_ga")
"""Those that took from the base what cannot be found again: drawn at random, or from data."""
_CONTAINED_OPTIONS = {
    "alpha_pattern",
    "auto_mapping",
    "base_model_name_or_path",
    "corda_config",
    "ensure_weight_tying",
    "eva_config",
    "exclude_modules",
    "fan_in_fan_out",
    "inference_mode",
    "layers_pattern",
    "layers_to_transform",
    "loftq_config",
    "lora_alpha",
    "lora_bias",
    "lora_dropout",
    "lora_ga_config",
    "megatron_core",
    "peft_type",
    "peft_version",
    "qalora_group_size",
    "r",
    "rank_pattern",
    "revision",
    "target_modules",
    "task_type",
    "use_dora",
    "use_rslora",
}


@dataclass(frozen=True)
class AdapterFiles:
    """An adapter's folder: its config, and which tensors it brings."""

    folder: Path

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """`adapter_config.json`; nothing where it cannot be read, which loading it will say."""
        try:
            found = json.loads((self.folder / CONFIG).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return found if isinstance(found, dict) else {}

    @cached_property
    def tensors(self) -> Mapping[str, tuple[int, ...]]:
        """Name -> shape, from the header of the file; nothing where it cannot be read."""
        try:
            with (self.folder / WEIGHTS).open("rb") as file:
                header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
            header.pop("__metadata__", None)
            return {name: tuple(tensor["shape"]) for name, tensor in header.items()}
        except (OSError, ValueError, KeyError, TypeError, AttributeError, OverflowError):
            return {}

    @property
    def kind(self) -> str:
        """What peft calls it, such as `LORA`."""
        return str(self.config.get("peft_type") or "")

    @property
    def refusal(self) -> str | None:
        """Why evalkit cannot ask it, and what to do, in sentences; None where it can."""
        return next(self._refusals(), None)

    @property
    def leaves_base(self) -> bool:
        """Whether it brings nothing but tensors of its own, which can be switched off.

        Such adapters may stand side by side on one base.
        """
        options = {
            key for key, value in self.config.items() if value not in (None, False, [], {}, "")
        }
        start, bias = self.config.get("init_lora_weights"), self.config.get("bias")
        return (
            self.kind == "LORA"
            and _is_among(start, _PLAIN_STARTS)
            and bias in (None, "none")
            and options - {"init_lora_weights", "bias"} <= _CONTAINED_OPTIONS
            and bool(self.tensors)
            and all(map(_OWN_TENSORS.search, self.tensors))
        )

    @property
    def changes_weights_at_start(self) -> bool:
        """Whether putting it on a base takes something from the base's weights (PiSSA, OLoRA)."""
        start = self.config.get("init_lora_weights")
        return self.kind == "LORA" and not _is_among(start, _PLAIN_STARTS)

    @property
    def trained_on(self) -> str:
        """The base that peft noted; may be empty."""
        return str(self.config.get("base_model_name_or_path") or "")

    def _refusals(self) -> Iterator[str]:
        task, start = self.config.get("task_type"), str(self.config.get("init_lora_weights"))
        if task not in (None, "CAUSAL_LM"):
            yield (
                f"Its adapter was trained for task_type {task}: such a model has a head of its "
                "own in the place of the one that writes text. Train it with task_type CAUSAL_LM."
            )
        if self.kind in _VIRTUAL_TOKENS:
            yield (
                f"Its adapter is of the kind {self.kind}: it puts virtual tokens before the "
                f"prompt, and evalkit asks with a prompt of text. {_SERVE}, or train LoRA."
            )
        if self.kind and self.kind not in _IN_LAYERS:
            yield f"Its adapter is of the kind {self.kind}, which evalkit cannot load. {_MERGE}."
        for option in _OTHER_COURSES:
            if self.config.get(option):
                yield f"Its adapter uses {option}, which evalkit cannot ask. {_MERGE}."
        if start.startswith(_LOST_STARTS):
            yield (
                f"Its adapter began with init_lora_weights = {start!r}, which took from the base "
                "what cannot be found again here. Save it where it was trained as plain LoRA: "
                "save_pretrained(FOLDER, path_initial_model_for_weight_conversion=...) of peft."
            )


def _is_among(value: object, known: tuple[object, ...]) -> bool:
    # True == 1, and a config may hold a list, which no set takes.
    return any(value is one or (isinstance(value, str) and value == one) for one in known)


def pickle_problem(folder: Path) -> str | None:
    """Say what to do where an adapter's weights lie there as a pickle alone; None elsewhere."""
    if (folder / WEIGHTS).is_file() or not (folder / PICKLE).is_file():
        return None
    return (
        f"holds its adapter as a pickle ({PICKLE}), which can run any code when it is loaded; "
        f"evalkit reads safetensors only. If you trust it, run this in the folder:\n  "
        f"{TO_SAFETENSORS}"
    )


def vocabulary_problem(adapter: AdapterFiles, rows: int) -> str | None:
    """Say that an adapter was trained with another vocabulary than its base has; or None.

    Args:
        adapter: what is to be put on the base.
        rows: of the base's embeddings.
    """
    embeds = re.compile(r"\.(?:embed_tokens|lm_head)\.(?:base_layer\.)?weight$")
    for name, shape in adapter.tensors.items():
        if embeds.search(name) and shape[:1] != (rows,):
            return (
                f"was trained with a vocabulary of {next(iter(shape), 0):,} tokens ({name}), and "
                f"its base has {rows:,}. {_MERGE}."
            )
    return None
