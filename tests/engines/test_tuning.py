"""C and class weight are chosen on rows held out, and given ones are kept."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import product
from typing import Any

import numpy as np
import pytest
from scipy import sparse

from evalkit.engines.tfidf import Hashing, fit_tfidf
from evalkit.engines.tuning import CLASS_WEIGHTS, CS, Settings, choose_settings, settings_of
from evalkit.records import Example
from evalkit.tasks import load_task

ROWS = 90
SAID = ["a"] * ROWS
NUMBERS = sparse.csr_matrix(np.arange(ROWS, dtype=float)[:, None])


def choose(
    right: dict[tuple[float, str], float], **options: Any
) -> tuple[Settings, list[Settings]]:
    """Let each setting answer a share of rows right; return the choice and what was fitted."""
    asked_for: list[Settings] = []

    def predict(features: Any, said: Sequence[Any], settings: Settings, asked: Any) -> list[str]:
        asked_for.append(settings)
        n = asked.shape[0]
        hits = round(right[settings.c, settings.class_weight] * n)
        assert not set(features.toarray().ravel()) & set(asked.toarray().ravel())
        return ["a"] * hits + ["b"] * (n - hits)

    groups = options.pop("groups", range(ROWS))
    given = {"c": None, "class_weight": None} | options
    return choose_settings(NUMBERS, SAID, groups, predict, **given), asked_for


def shares(**of: float) -> dict[tuple[float, str], float]:
    """Half right everywhere but at the settings named, as `c30_none`."""
    table = dict.fromkeys(product(CS, CLASS_WEIGHTS), 0.5)
    return table | {
        (float(name.split("_")[0][1:]), name.split("_")[1]): share for name, share in of.items()
    }


@pytest.mark.parametrize(("c", "weight"), list(product(CS[:3], CLASS_WEIGHTS)))
def test_the_setting_that_is_most_often_right_is_chosen(c: float, weight: str):
    chosen, _ = choose(shares(**{f"c{c:g}_{weight}": 0.8}))
    assert (chosen.c, chosen.class_weight) == (c, weight)
    assert chosen.accuracy == pytest.approx(0.8)


def test_larger_cs_are_tried_as_long_as_they_help():
    rising = {f"c{c:g}_balanced": 0.5 + step / 10 for step, c in enumerate(CS)}
    chosen, fitted = choose(shares(**rising))
    assert (chosen.c, chosen.class_weight) == (CS[-1], "balanced")
    assert {s.c for s in fitted if s.class_weight == "none"} == set(CS[:3])


def test_of_equals_the_smaller_c_is_chosen_and_balanced():
    chosen, _ = choose(shares())
    assert (chosen.c, chosen.class_weight) == (CS[0], "balanced")


def test_what_is_given_is_kept():
    table = shares() | {(7.0, "balanced"): 0.1, (7.0, "none"): 0.3}
    chosen, fitted = choose(table, c=7.0, class_weight="balanced")
    assert (chosen, fitted) == (Settings(7.0, "balanced"), [])
    chosen, _ = choose(table, c=7.0)
    assert (chosen.c, chosen.class_weight) == (7.0, "none")
    chosen, fitted = choose(shares(c10_none=0.9), class_weight="none")
    assert (chosen.c, chosen.class_weight) == (10.0, "none")
    assert {settings.class_weight for settings in fitted} == {"none"}


def test_near_duplicates_stay_in_one_fold():
    groups = [row // 3 for row in range(ROWS)]

    def predict(features: Any, said: Any, settings: Settings, asked: Any) -> list[str]:
        known = {groups[int(row)] for row in features.toarray().ravel()}
        assert not known & {groups[int(row)] for row in asked.toarray().ravel()}
        return ["a"] * asked.shape[0]

    choose_settings(NUMBERS, SAID, groups, predict, c=None, class_weight=None)


def test_rows_too_few_to_hold_any_out_get_a_setting_all_the_same():
    chosen, fitted = choose(shares(), groups=[0] * 89 + [1])
    assert (chosen, fitted) == (Settings(10.0, "balanced"), [])


def test_settings_come_back_as_they_were_kept():
    for settings in (Settings(3.0, "none", 0.75), Settings(0.5, "balanced")):
        assert settings_of(settings.content()) == settings


TASK = load_task("intents")
VALUES = {"payment": "支付账单", "inventory": "库存数量", "user_auth": "登录密码"}


def sets(count: int) -> list[Example]:
    """Texts that name one or two of the values, one in each five two."""
    rng = np.random.default_rng(3)
    rows = []
    for n in range(count):
        named = rng.permutation(list(VALUES))[: 2 if n % 5 == 0 else 1]
        text = "".join(VALUES[name] for name in named) + chr(ord("一") + n)
        label = tuple(str(v) for v in TASK.fields["intents"].labels if v in named)
        rows.append(Example(f"r{n}", {"prompt": text}, {"intents": label}))
    return rows


def test_a_tuned_baseline_names_both_of_two_where_a_fixed_one_names_one():
    """A weak regression without class weights names the likeliest value and no other."""
    rows, asked = sets(150), sets(200)[150:]
    hashing = Hashing((1, 2), (1, 2), 10)

    def exact(**settings: Any) -> float:
        model = fit_tfidf(TASK, rows, hashing, **settings)
        answers = model.answer([row.inputs for row in asked])
        return float(np.mean([a.labels == r.labels for a, r in zip(answers, asked, strict=True)]))

    weak = exact(c=0.02, class_weight="none")
    assert weak < 0.9
    assert exact() == 1.0


def test_the_same_rows_choose_the_same(recwarn: pytest.WarningsRecorder):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        one, two = (fit_tfidf(TASK, sets(60), Hashing((1, 2), (1, 2), 8)) for _ in range(2))
    assert one.settings == two.settings
    assert one.settings["intents"].accuracy is not None
