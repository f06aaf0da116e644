from __future__ import annotations

import pytest

from evalkit.errors import InsufficientData
from evalkit.evaluation.forgetting import mean_divergence, passed_less
from evalkit.gates import Outcome, Policy, judge


def test_a_loss_is_what_the_base_could_and_the_tuned_cannot():
    base, tuned = [True] * 60 + [False] * 20, [True] * 52 + [False] * 24 + [True] * 4
    found = passed_less(base, tuned, "forgetting")
    assert found.value == pytest.approx(4 / 80)
    assert found.n == 80
    assert found.low < 0 < found.value < found.high < 0.2


def test_a_gain_is_a_negative_loss_and_passes():
    found = passed_less([False] * 70, [True] * 70, "forgetting")
    assert found.value == -1
    verdict = judge("forgetting", Policy(max_value=0.1, min_cases=60, why="x"), found)
    assert verdict.outcome is Outcome.PASS


def test_a_weak_base_is_not_blamed_on_the_adapter():
    found = passed_less([False] * 70, [False] * 70, "forgetting")
    assert found.value == 0


def test_no_probe():
    with pytest.raises(InsufficientData):
        passed_less([], [], "forgetting")


def test_long_texts_weigh_more():
    texts = [{"id": "a", "kl": 0.1, "tokens": 30}, {"id": "b", "kl": 0.5, "tokens": 10}]
    found = mean_divergence(texts * 20)
    assert found.estimate.value == pytest.approx((0.1 * 30 + 0.5 * 10) / 40)
    assert found.estimate.low < found.estimate.value < found.estimate.high
    assert found.estimate.n == 40


def test_a_divergence_is_judged_in_nats():
    found = mean_divergence([{"id": "a", "kl": 2.5, "tokens": 30}] * 40)
    policy = Policy(max_value=2.0, share=False, min_cases=30, why="x")
    verdict = judge("divergence_from_base", policy, found)
    assert (verdict.outcome, verdict.unit) == (Outcome.FAIL, "")


def test_no_text():
    with pytest.raises(InsufficientData, match="no text with a token"):
        mean_divergence([])
    with pytest.raises(InsufficientData, match="no text with a token"):
        mean_divergence([{"id": "a", "kl": 0.0, "tokens": 0}])
