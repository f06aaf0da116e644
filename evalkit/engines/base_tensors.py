"""The tensors of a base in memory: whether they are still what was loaded."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import nn

SAMPLED = 64
"""Values looked at of each tensor, evenly spread. Tests look at all."""


class Place(NamedTuple):
    """Where a tensor is held: adapters put modules around its module, and other data into it."""

    module: nn.Module
    attribute: str

    @property
    def tensor(self) -> torch.Tensor:
        """What stands there now."""
        found = getattr(self.module, self.attribute)
        assert isinstance(found, torch.Tensor)
        return found


class BaseTensors:
    """A base's parameters and buffers, and a sample of what they held when it was loaded."""

    def __init__(self, model: nn.Module) -> None:
        """Take the sample.

        Args:
            model: as it was loaded, without any adapter.
        """
        self.places = dict(_places(model))
        self._sample = self._values()

    def changed(self) -> list[str]:
        """Names of tensors whose sample is another than it was."""
        now = self._values()
        if torch.equal(now, self._sample):
            return []
        edges = [0]
        for place in self.places.values():
            edges.append(edges[-1] + len(_spread(place.tensor)))
        return [
            name
            for name, start, end in zip(self.places, edges, edges[1:], strict=False)
            if not torch.equal(now[start:end], self._sample[start:end])
        ]

    def copies(self) -> dict[str, torch.Tensor]:
        """All of them as they are now, in the machine's memory."""
        return {n: place.tensor.detach().to("cpu", copy=True) for n, place in self.places.items()}

    def _values(self) -> torch.Tensor:
        values = [_spread(place.tensor).float() for place in self.places.values()]
        return torch.cat(values) if values else torch.zeros(0)


def _places(model: nn.Module) -> Iterator[tuple[str, Place]]:
    for prefix, module in model.named_modules():
        own = [*module.named_parameters(recurse=False), *module.named_buffers(recurse=False)]
        for attribute, _ in own:
            yield f"{prefix}.{attribute}".lstrip("."), Place(module, attribute)


def _spread(tensor: torch.Tensor) -> torch.Tensor:
    flat = tensor.detach().reshape(-1)
    return flat[:: max(1, len(flat) // SAMPLED)]
