from __future__ import annotations

import pytest
import torch
from torch import nn

from evalkit.engines.prepacked import _is_offered, multiplying_with, prepack

offered = pytest.mark.skipif(not _is_offered(), reason="this processor has no bf16 products")


def layer(inputs: int, outputs: int, *, bias: bool = False, seed: int = 0) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(inputs, outputs, bias=bias, dtype=torch.bfloat16)


@offered
@pytest.mark.parametrize("bias", [False, True])
@pytest.mark.parametrize("shape", [(576, 1536), (1536, 576), (576, 192), (64, 24), (7, 5)])
@pytest.mark.parametrize("tokens", [1, 3, 16, 61, 129, 700])
def test_products_are_equal_to_the_bit(tokens: int, shape: tuple[int, int], bias: bool):
    plain = layer(*shape, bias=bias)
    x = torch.randn(1, tokens, shape[0], dtype=torch.bfloat16)
    with torch.inference_mode():
        expected = plain(x)
        prepacked = prepack(plain)
        assert len(prepacked) == 1
        with multiplying_with(prepacked):
            assert torch.equal(plain(x), expected)


@offered
def test_prepacked_weights_are_used_for_the_time_being_only():
    plain = layer(32, 32)
    x = torch.randn(4, 32, dtype=torch.bfloat16)
    with torch.inference_mode():
        before = plain(x)
        prepacked = prepack(plain)
        plain.weight.data = plain.weight.data * 2
        with multiplying_with(prepacked):
            assert torch.equal(plain(x), before)
        assert torch.equal(plain(x), 2 * before)
    assert "forward" not in vars(plain)
    with pytest.raises(KeyError), multiplying_with(prepacked):
        raise KeyError
    assert "forward" not in vars(plain)


@offered
def test_only_plain_layers_in_bf16_are_prepacked():
    class More(nn.Linear):
        pass

    hooked = layer(8, 8)
    hooked.forward = lambda x: x  # type: ignore[method-assign]
    left = nn.ModuleList(
        [nn.Linear(8, 8), More(8, 8, dtype=torch.bfloat16), nn.LayerNorm(8), hooked]
    )
    assert prepack(left) == []
    inner = layer(8, 8)
    assert [found for found, _ in prepack(nn.Sequential(inner, left), inner)] == [inner]


def test_where_torch_does_not_offer_it_nothing_is_prepacked(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    assert prepack(layer(8, 8)) == []
