"""What accuracy is lost where the same inputs are asked about in another way."""

from __future__ import annotations

from dataclasses import replace

import pytest

from evalkit.data import Match
from evalkit.errors import InsufficientData
from evalkit.evaluation import Evaluation, evaluate
from evalkit.evaluation.losses import accuracy_lost
from evalkit.formats import get_format
from evalkit.metrics import compare_hits
from evalkit.records import Completion, Example, FinishReason
from evalkit.run_record import RunRecord
from evalkit.tasks import Task, load_task
from evalkit.tasks.variants import relabelled, renamed

TASK = load_task("notifications-3level")
NEW = {"Work": "Office", "Personal": "People"}
RENAMED = renamed(TASK, "folder", NEW)


def said(
    answers: str,
    task: Task = TASK,
    prefix: str = "r",
    groups: tuple[int, ...] = (),
    body: str = "x",
) -> Evaluation:
    """Rows that are all Work, answered by a letter each: w is right, p is Personal, ? nothing."""
    names = {"w": "Work", "p": "Personal"}
    examples: tuple[Example, ...] = tuple(
        Example(f"{prefix}{n}", dict.fromkeys(TASK.inputs, body), {"folder": "Work", "priority": 2})
        for n in range(len(answers))
    )
    if task is RENAMED:
        names = {letter: NEW[name] for letter, name in names.items()}
        examples = relabelled(examples, "folder", NEW)
    texts = {
        example.id: f'{{"folder": "{names[letter]}", "priority": 2}}' if letter in names else "?"
        for example, letter in zip(examples, answers, strict=True)
    }
    completions = {name: Completion(text, FinishReason.STOP) for name, text in texts.items()}
    fmt = get_format("json", task)
    return evaluate("s", task, fmt, examples, completions, record=RunRecord(), groups=groups)


def test_what_is_lost_is_the_difference_row_by_row() -> None:
    found = accuracy_lost("folder", (said("wwwwp"), said("wpp?w")))
    # 4 of 5 right, then 2 of 5: three lost, one won.
    assert found.estimate.value == pytest.approx(0.4)
    assert found.estimate.n == 5
    assert [row.example.id for row in found.counted_against] == ["r1", "r2", "r3"]
    assert found.weakest == (
        "40.0% after 80.0%; 3 lost, 1 won; most often Work read as Personal (2)"
    )


def test_the_interval_is_that_of_paired_shares() -> None:
    found = accuracy_lost("folder", (said("wwwwp"), said("wpp?w"))).estimate
    paired = compare_hits([True] * 4 + [False], [True, False, False, False, True])
    assert (found.low, found.high) == (paired.low, paired.high)
    assert found.method == "newcombe, paired"


def test_each_row_is_judged_by_its_own_names() -> None:
    found = accuracy_lost("folder", (said("wwwwp"), said("wwwwp", RENAMED)))
    assert found.estimate.value == 0
    assert found.counted_against == ()
    assert found.weakest == "80.0% after 80.0%"


def test_a_gain_is_below_zero() -> None:
    assert accuracy_lost("folder", (said("wwwp"), said("wwww"))).estimate.value == -0.25


def test_pairs_are_counted_together() -> None:
    found = accuracy_lost(
        "folder", (said("ww"), said("wp")), (said("ww", prefix="s"), said("ww", prefix="s"))
    )
    assert (found.estimate.value, found.estimate.n) == (0.25, 4)


def test_groups_of_different_pairs_are_not_one() -> None:
    first, second = said("ww", groups=(1, 2)), said("wp", groups=(1, 2))
    third, fourth = said("ww", prefix="s", groups=(1, 2)), said("ww", prefix="s", groups=(1, 2))
    found = accuracy_lost("folder", (first, second), (third, fourth))
    assert found.estimate.method == "newcombe, paired"


def test_near_duplicates_widen_the_interval() -> None:
    before, after = "w" * 16, "p" * 8 + "w" * 8
    groups = tuple(n // 2 for n in range(16))
    alone = accuracy_lost("folder", (said(before), said(after))).estimate
    found = accuracy_lost(
        "folder", (said(before, groups=groups), said(after, groups=groups))
    ).estimate
    assert found.method == "newcombe, paired, clustered"
    assert found.high - found.low > alone.high - alone.low


def test_rows_that_were_trained_on_are_left_out() -> None:
    second = said("wpp")
    learned = replace(second.rows[1], contaminated_by=Match("exact", 1.0))
    second = replace(second, rows=(second.rows[0], learned, second.rows[2]))
    found = accuracy_lost("folder", (said("www"), second))
    assert (found.estimate.value, found.estimate.n) == (0.5, 2)


def test_nothing_to_compare_is_no_number() -> None:
    with pytest.raises(InsufficientData, match="no row"):
        accuracy_lost("folder", (said("ww"), said("ww", prefix="s")))
    with pytest.raises(InsufficientData, match="no row"):
        accuracy_lost("folder")


def test_what_is_no_better_than_guessing_has_nothing_to_lose() -> None:
    # Of four folders: 0 of 4, and 2 of 4 (15% at the interval's lower end).
    for before in ("pppp", "wwpp"):
        with pytest.raises(
            InsufficientData, match=r"not shown to be better than guessing one of 4"
        ):
            accuracy_lost("folder", (said(before), said("pppp")))


def test_an_id_that_repeats_is_refused() -> None:
    with pytest.raises(ValueError, match="'r0' is asked in more than one pair"):
        accuracy_lost("folder", (said("w"), said("w")), (said("w"), said("w")))


def test_other_inputs_are_refused() -> None:
    with pytest.raises(ValueError, match="'r0' has other inputs"):
        accuracy_lost("folder", (said("w"), said("w", body="y")))
