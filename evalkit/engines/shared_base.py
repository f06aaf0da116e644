"""One base in memory, which several systems take turns with."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from evalkit.engines.batching import Room
from evalkit.engines.chat import build_chat
from evalkit.engines.generation import CausalModel
from evalkit.engines.loading import (
    Decoding,
    Quantization,
    attach_adapter,
    load_base,
    load_tokenizer,
)
from evalkit.engines.transformers_engine import TransformersEngine
from evalkit.systems import ADAPTER_FILES
from evalkit.weights.cache import hash_file

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class SharedBase:
    """A base and its adapters, of which one or none is switched on.

    The adapter that is switched on is merged into the weights where that can be done: layers with
    a plain weight. What is merged is computed from the weights as they were loaded, each time,
    so a system's answers do not depend on which others had their turn.
    """

    def __init__(
        self, folder: Path, device: torch.device, dtype: torch.dtype, quantization: Quantization
    ) -> None:
        self.model: PreTrainedModel = load_base(
            folder, device=device, dtype=dtype, quantization=quantization
        )
        config = self.model.generation_config
        eos = config.eos_token_id if config else None
        ends = [] if eos is None else eos if isinstance(eos, list) else [eos]
        self.chat = build_chat(load_tokenizer(folder), ends)
        self._causal = CausalModel(self.model)
        self._rooms: dict[int, Room] = {}
        self._adapters: dict[tuple[str, ...], str] = {}
        self._on: str | None = None
        self._loaded: dict[Any, torch.Tensor] = {}
        """Layer -> its weight as it was loaded, where an adapter is merged into it."""

    def attach(self, folder: Path) -> str:
        """Put an adapter beside those that are there; returns its name here.

        Raises:
            UserError: the adapter's weights do not fit the base.
        """
        content = tuple(hash_file(folder / file) for file in ADAPTER_FILES)
        if content not in self._adapters:
            self.switch(None)
            name = f"adapter{len(self._adapters) + 1}"
            self.model = attach_adapter(self.model, folder, name)
            self._adapters[content] = name
            # An adapter of the head has put another head into its place.
            if CausalModel.head_of(self.model) is not self._causal.source_head:
                self._causal = CausalModel(self.model)
            self._switch_off()
        return self._adapters[content]

    def switch(self, name: str | None) -> None:
        """Let an adapter have its effect, or none."""
        if name == self._on:
            return
        for layer, weight in self._loaded.items():
            layer.base_layer.weight.data = weight
            layer.merged_adapters = []
        self._loaded = {}
        if name is None:
            self._switch_off()
        else:
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
        self, adapter: str | None, batch_size: int, decoding: Decoding
    ) -> TransformersEngine:
        """An engine for the base with this adapter."""
        room = self._rooms.setdefault(batch_size, Room.on(self._causal.device, batch_size))
        self.switch(adapter)
        return TransformersEngine(
            self.model,
            self.chat,
            batch_size,
            decoding=decoding,
            causal=self._causal,
            room=room,
            switch=partial(self.switch, adapter),
            switch_off=partial(self.switch, None),
            adapter=self._how(adapter),
        )

    def _how(self, adapter: str | None) -> str:
        if adapter is None:
            return "none"
        layers = [layer for layer in _lora_layers(self.model) if adapter in layer.lora_A]
        plain = {id(layer) for layer in mergeable_layers(self.model, adapter)}
        return "merged" if all(id(layer) in plain for layer in layers) else "attached"

    def _switch_off(self) -> None:
        if self._adapters:
            peft: Any = self.model
            peft.base_model.disable_adapter_layers()
            self._on = None


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
