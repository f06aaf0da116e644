"""One base in memory, which several systems take turns with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evalkit.engines.base_tensors import BaseTensors, Place
from evalkit.engines.batching import BatchBudget
from evalkit.engines.chat import Chat, build_chat
from evalkit.engines.generation import CausalModel
from evalkit.engines.loading import (
    Decoding,
    Quantization,
    attach_adapter,
    load_base,
    load_tokenizer,
)
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.errors import UserError
from evalkit.thoughts import ALL, Thoughts
from evalkit.weights.adapters import ADAPTER_FILES, AdapterFiles
from evalkit.weights.cache import hash_file
from evalkit.weights.tokenizer_files import brings_tokenizer

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SharedBase:
    """A base and its adapters, of which one or none is switched on.

    The adapter that is switched on is merged into the weights where that can be done: layers with
    a plain weight. What is merged is computed from the weights as they were loaded, each time,
    so a system's answers do not depend on which others had their turn. An adapter that changes
    more than its own tensors (`AdapterFiles.leaves_base`) is alone on its base; what it put into
    the base's tensors is exchanged for what was loaded while it is switched off.
    """

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, quantization: Quantization
    ) -> None:
        self.folder = folder
        self.model: PreTrainedModel = load_base(
            folder, device=device, dtype=dtype, quantization=quantization
        )
        config = self.model.generation_config
        eos = config.eos_token_id if config else None
        self._ends = [] if eos is None else eos if isinstance(eos, list) else [eos]
        self.chat = build_chat(load_tokenizer(folder), self._ends)
        self._quantization = quantization
        self._causal = CausalModel(self.model)
        self._rooms: dict[int, BatchBudget] = {}
        self._adapters: dict[tuple[str, ...], str] = {}
        self._alone: set[str] = set()
        """Adapters that are more than tensors of their own."""
        self._on: str | None = None
        self._loaded: dict[Any, torch.Tensor] = {}
        """Layer -> its weight as it was loaded, where an adapter is merged into it."""
        self._tensors = BaseTensors(self.model)
        self._exchanged: dict[Place, torch.Tensor] = {}
        """Where an adapter changed the base itself -> what does not stand there at the moment."""

    def attach(self, folder: Path) -> str:
        """Put an adapter beside those that are there; returns its name here.

        Raises:
            UserError: the adapter's weights do not fit the base.
            RuntimeError: it changed the base, which its files did not say.
        """
        content = tuple(hash_file(folder / file) for file in ADAPTER_FILES)
        if content not in self._adapters:
            self.switch(None)
            name = f"adapter{len(self._adapters) + 1}"
            files = AdapterFiles(folder)
            if files.changes_weights_at_start and self._quantization != "none":
                start = files.config["init_lora_weights"]
                raise UserError(
                    f"{folder}: init_lora_weights = {start!r} takes something from the base's "
                    'weights, which 4-bit ones do not give. Use quantization = "none".'
                )
            loaded: dict[str, torch.Tensor] = {}
            if not files.leaves_base:
                self._alone.add(name)
                loaded = self._tensors.copies()
            self.model = attach_adapter(self.model, folder, name)
            self._adapters[content] = name
            for held, tensor in loaded.items():
                place = self._tensors.places[held]
                if not torch.equal(place.tensor.detach().cpu(), tensor):
                    self._exchanged[place] = tensor.to(place.tensor.device)
            self._on = name
            # An adapter of the head has put another head into its place.
            if CausalModel.head_of(self.model) is not self._causal.source_head:
                self._causal = CausalModel(self.model)
            self._switch_off()
            self._check_untouched(f"putting the adapter of {folder.name} on it")
        return self._adapters[content]

    def chat_of(self, adapter: Path | None) -> Chat:
        """How a prompt is laid out: as the base has it, or as the adapter brings it.

        Raises:
            UserError: the adapter's tokenizer cannot be used with this base.
        """
        if adapter is None or not brings_tokenizer(adapter):
            return self.chat
        tokenizer = load_tokenizer(self.folder, adapter)
        embeddings: Any = self.model.get_input_embeddings()
        rows = embeddings.weight.shape[0]
        if len(tokenizer) > rows:
            raise UserError(
                f"The tokenizer in {adapter} has {len(tokenizer):,} tokens and the base embeds "
                f"{rows:,}. Merge the adapter into the base it was trained on, save model and "
                "tokenizer, and judge that folder."
            )
        return build_chat(tokenizer, self._ends)

    def switch(self, name: str | None) -> None:
        """Let an adapter have its effect, or none.

        Raises:
            RuntimeError: the base is not what was loaded any more.
        """
        if name == self._on:
            return
        for layer, weight in self._loaded.items():
            layer.base_layer.weight.data = weight
            layer.merged_adapters = []
        self._loaded = {}
        self._switch_off()
        self._check_untouched("a system's turn")
        if name is not None:
            self._exchange()
            peft: Any = self.model
            peft.base_model.enable_adapter_layers()
            peft.set_adapter(name)
            for layer in mergeable_layers(self.model, name):
                weight = layer.base_layer.weight
                self._loaded[layer] = weight.data
                merged = weight.data.float() + layer.get_delta_weight(name).float()
                weight.data = merged.to(weight.dtype)
                layer.merged_adapters = [name]
        self._on = name

    def engine(
        self,
        adapter: str | None,
        batch_size: int,
        decoding: Decoding,
        chat: Chat | None = None,
        thoughts: Thoughts = ALL,
    ) -> TransformersEngine:
        """An engine for the base with this adapter, asked in its way or in the base's."""
        budget = self._rooms.setdefault(batch_size, BatchBudget.on(self._causal.device, batch_size))
        self.switch(adapter)
        return TransformersEngine(
            self.model,
            chat or self.chat,
            batch_size,
            decoding=decoding,
            causal=self._causal,
            budget=budget,
            switch=partial(self.switch, adapter),
            switch_off=partial(self.switch, None),
            adapter=self._how(adapter),
            thoughts=thoughts,
        )

    def _how(self, adapter: str | None) -> str:
        if adapter is None:
            return "none"
        layers = [layer for layer in _lora_layers(self.model) if adapter in layer.lora_A]
        plain = {id(layer) for layer in mergeable_layers(self.model, adapter)}
        is_merged = adapter not in self._alone and all(id(layer) in plain for layer in layers)
        return "merged" if is_merged else "attached"

    def _switch_off(self) -> None:
        if self._adapters:
            peft: Any = self.model
            peft.base_model.disable_adapter_layers()
        if self._on is not None:
            self._exchange()
        self._on = None

    def _exchange(self) -> None:
        for place, tensor in self._exchanged.items():
            held = place.tensor
            self._exchanged[place], held.data = held.data, tensor
        self._causal.forget_head()

    def _check_untouched(self, what: str) -> None:
        if changed := self._tensors.changed():
            raise RuntimeError(
                f"{what} changed {changed[0]} of the shared base"
                + (f" and {len(changed) - 1} more of its tensors" if changed[1:] else "")
            )


def _lora_layers(model: torch.nn.Module) -> list[Any]:
    from peft.tuners.lora import LoraLayer

    return [module for module in model.modules() if isinstance(module, LoraLayer)]


def mergeable_layers(model: PreTrainedModel, name: str) -> list[Any]:
    """The layers in which adding an adapter's product to the weight is all it does.

    Not those with 4-bit weights, nor heads and embeddings, whose weight others may use as well.
    """
    from peft.tuners import lora

    head = CausalModel.head_of(model)
    return [
        layer
        for layer in _lora_layers(model)
        if type(layer) is lora.Linear
        and type(layer.base_layer) is torch.nn.Linear
        and layer is not head
        and name in layer.lora_A
        and name not in layer.lora_variant
        and not layer.lora_bias[name]
    ]
