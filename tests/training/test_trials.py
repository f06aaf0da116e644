"""Which recipes a sweep tries."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from evalkit.errors import UserError
from evalkit.training.trials import Range, grid, read_space, search


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("learning_rate=5e-4,1e-3", (5e-4, 1e-3)),
        ("epochs=1", (1,)),
        ("class_weight=none,balanced", ("none", "balanced")),
        ('class_weight="none", "balanced"', ("none", "balanced")),
        ("words=[1, 1],[1, 2]", ([1, 1], [1, 2])),
        ("pairs=true,false", (True, False)),
        ("c=1..100", Range(1, 100, True, False)),
        ("learning_rate=1e-4..1e-2:log", Range(1e-4, 1e-2, False, True)),
        ("data=../rows.jsonl", ("../rows.jsonl",)),
    ],
)
def test_values_and_ranges(text: str, values: Any) -> None:
    (found,) = read_space([text]).values()
    assert found == values


@pytest.mark.parametrize(
    ("texts", "said"),
    [
        (["epochs"], "KEY=VALUE"),
        (["epochs="], "KEY=VALUE"),
        (["epochs=1", "epochs=2"], "twice"),
        (["c=100..1"], "lower end"),
        (["c=0..1:log"], "above 0"),
    ],
)
def test_what_cannot_be_read_is_refused(texts: list[str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_space(texts)


def test_a_grid_is_every_combination() -> None:
    tried = list(grid(read_space(["c=1,2", "noise.share=0.1,0.3"])))
    assert tried == [
        {"c": 1, "noise.share": 0.1},
        {"c": 1, "noise.share": 0.3},
        {"c": 2, "noise.share": 0.1},
        {"c": 2, "noise.share": 0.3},
    ]
    with pytest.raises(UserError, match="--trials"):
        list(grid(read_space(["c=1..2"])))


def test_a_search_follows_the_scores_and_can_be_gone_through_again() -> None:
    pytest.importorskip("optuna", reason="trials are drawn with the extra `sweep`")
    space = read_space(["c=1..1000:log", "noise.share=0.0..1.0", "class_weight=none,balanced"])

    def tried(best: float) -> list[Mapping[str, Any]]:
        seen: list[Mapping[str, Any]] = []

        def rate(changes: Mapping[str, Any]) -> float | None:
            seen.append(changes)
            return None if len(seen) == 3 else -abs(changes["noise.share"] - best)

        search(space, 30, 0, rate)
        return seen

    first = tried(0.7)
    assert tried(0.7) == first
    other = tried(0.1)
    assert other[:10] == first[:10], "the first draws know of no score"
    assert other[10:] != first[10:], "the later ones follow them"
    assert len(first) == 30
    assert all(isinstance(drawn["c"], int) and 1 <= drawn["c"] <= 1000 for drawn in first)
    assert {drawn["class_weight"] for drawn in first} == {"none", "balanced"}
