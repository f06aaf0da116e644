from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, kl_div

from evalkit.training import head_loss
from evalkit.training.head_loss import is_plain, plain_head_divergence, plain_head_loss

TOKENS, SIZE, VOCABULARY = 23, 8, 50


def head(dtype: torch.dtype = torch.float32) -> nn.Linear:
    torch.manual_seed(0)
    made = nn.Linear(SIZE, VOCABULARY, bias=False).to(dtype)
    return made.requires_grad_(False)


def tokens(dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    hidden = (4 * torch.randn(TOKENS, SIZE)).to(dtype).requires_grad_()
    return hidden, torch.randint(VOCABULARY, (TOKENS,))


@pytest.fixture(autouse=True, params=[1, 7 * VOCABULARY, 1 << 20])
def few_at_once(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One token at a time, seven, and all."""
    monkeypatch.setitem(head_loss.LOGITS_AT_ONCE, "cpu", request.param)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_and_gradient_are_those_of_the_ordinary_loss(weighted: bool):
    weights = torch.arange(TOKENS) / 5 if weighted else None
    (mine, targets), (ordinary, _) = tokens(), tokens()
    found = plain_head_loss(head(), mine, targets, weights) / 7
    losses = cross_entropy(head()(ordinary), targets, reduction="none")
    expected = (losses if weights is None else losses * weights).sum() / 7
    found.backward()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-6)
    assert mine.grad is not None
    assert torch.allclose(mine.grad, ordinary.grad, rtol=1e-5, atol=1e-7)


def test_the_divergence_and_its_gradient_are_the_ordinary_ones():
    (mine, _), (ordinary, _) = tokens(), tokens()
    base = (mine + torch.linspace(-1, 1, TOKENS)[:, None]).detach()
    found = plain_head_divergence(head(), mine, base) / 7
    expected = kl_div(
        head()(ordinary).log_softmax(-1),
        head()(base).log_softmax(-1),
        log_target=True,
        reduction="sum",
    )
    expected = expected / 7
    found.backward()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert mine.grad is not None
    assert torch.allclose(mine.grad, ordinary.grad, rtol=1e-4, atol=1e-6)


def test_bf16_differs_by_rounding_alone():
    (mine, targets), (ordinary, _) = tokens(torch.bfloat16), tokens(torch.bfloat16)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = plain_head_loss(head(torch.bfloat16), mine, targets, None)
        logits = head(torch.bfloat16)(ordinary).float()
        expected = cross_entropy(logits, targets, reduction="sum")
    found.backward()
    expected.backward()
    assert found.item() == pytest.approx(expected.item(), rel=1e-5)
    assert mine.grad is not None
    assert mine.grad.dtype == torch.bfloat16
    assert torch.allclose(mine.grad, ordinary.grad, rtol=0.02, atol=0.02)


def test_without_gradients_none_is_made():
    hidden, targets = tokens()
    with torch.no_grad():
        found = plain_head_loss(head(), hidden, targets, None)
    assert found.item() == pytest.approx(
        float(cross_entropy(head()(hidden), targets, reduction="sum")), rel=1e-6
    )
    assert not found.requires_grad


def test_a_head_that_learns_or_adds_something_is_not_plain():
    assert is_plain(head())
    assert not is_plain(head().requires_grad_())
    assert not is_plain(nn.Linear(SIZE, VOCABULARY).requires_grad_(False))
    assert not is_plain(nn.Sequential(head()))
