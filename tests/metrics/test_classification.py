"""Recall, precision, F1 and confusion, by hand and against scikit-learn."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.preprocessing import MultiLabelBinarizer

from evalkit.errors import InsufficientData
from evalkit.metrics import (
    confusion,
    f1,
    macro_f1,
    macro_f1_statistic,
    precision,
    proportion,
    recall,
    share,
)
from evalkit.records import Missing, OutOfEnum

FOLDERS = ("Work", "Personal", "Promotions", "Alerts")
FAILURES = (None, Missing(), OutOfEnum("Spam"))
INTENTS = ("order", "payment", "auth")

single = st.tuples(st.sampled_from(FOLDERS), st.sampled_from(FOLDERS + FAILURES))
sets = st.sets(st.sampled_from(INTENTS), min_size=1).map(
    lambda chosen: tuple(intent for intent in INTENTS if intent in chosen)
)
multi = st.tuples(sets, st.one_of(sets, st.sampled_from(FAILURES)))
rows = st.lists(single, min_size=1, max_size=40)
multi_rows = st.lists(multi, min_size=1, max_size=40)


def unzip(pairs):
    truth, said = zip(*pairs, strict=True)
    return truth, said


def as_text(said):
    """Give readings as scikit-learn takes them: every failure is a class of its own."""
    return ["(failure)" if not isinstance(reading, str) else reading for reading in said]


def as_sets(said):
    return [reading if isinstance(reading, tuple) else () for reading in said]


def test_failures_stay_in_the_denominator():
    truth = ("Work", "Work", "Work", "Work")
    estimate = recall(truth, ("Work", None, Missing(), OutOfEnum("Wrok")), "Work")
    assert (estimate.successes, estimate.n) == (1, 4)


def test_recall_and_precision_by_hand():
    truth = (1, 1, 2, 2, 2, 3)
    said = (1, 2, 2, 2, None, 2)
    assert (recall(truth, said, 2).successes, recall(truth, said, 2).n) == (2, 3)
    assert (precision(truth, said, 2).successes, precision(truth, said, 2).n) == (2, 4)
    assert f1(truth, said, 2).value == pytest.approx(2 * 2 / (3 + 4))


def test_multi_label_by_hand():
    truth = (("order", "payment"), ("auth",), ("payment",))
    said = (("order", "payment"), ("payment", "auth"), None)
    assert (recall(truth, said, "payment").successes, recall(truth, said, "payment").n) == (1, 2)
    assert precision(truth, said, "payment").successes == 1
    assert precision(truth, said, "payment").n == 2


def test_a_string_is_not_a_set_of_its_letters():
    assert recall(("Work", "W"), ("Work", None), "W").n == 1


def test_numbers_that_cannot_be_counted():
    truth, said = ("Work", "Work"), ("Work", "Personal")
    with pytest.raises(InsufficientData, match=r"precision of 'Alerts' \(never predicted\)"):
        precision(truth, said, "Alerts")
    with pytest.raises(InsufficientData, match="recall of 'Personal'"):
        recall(truth, said, "Personal")
    with pytest.raises(InsufficientData, match="F1 of 'Alerts'"):
        f1(truth, said, "Alerts")
    with pytest.raises(InsufficientData):
        macro_f1((), ())


@pytest.mark.parametrize(
    "metric",
    [
        macro_f1,
        lambda t, s: recall(t, s, 1),
        lambda t, s: precision(t, s, 1),
        lambda t, s: f1(t, s, 1),
        lambda t, s: confusion(t, s, (1,)),
    ],
)
def test_truth_and_said_have_to_be_of_one_length(metric):
    with pytest.raises(ValueError, match="argument 2 is shorter"):
        metric((1, 1), (None,))


def test_confusion_by_hand():
    truth = (1, 1, 1, 2, 2, 2)
    said = (1, 2, None, 2, OutOfEnum("9"), Missing())
    table = confusion(truth, said, (1, 2, 3))
    assert table.counts == ((1, 1, 0), (0, 1, 0), (0, 0, 0))
    assert table.unreadable == (1, 0, 0)
    assert table.out_of_enum == (0, 1, 0)
    assert table.missing == (0, 1, 0)


@pytest.mark.parametrize(("truth", "said"), [((4,), (1,)), ((1,), (4,))])
def test_confusion_refuses_labels_it_has_no_place_for(truth, said):
    with pytest.raises(ValueError, match="4 is not among the values"):
        confusion(truth, said, (1, 2, 3))


@settings(deadline=None)
@given(rows)
def test_confusion_counts_every_row_once(pairs):
    truth, said = unzip(pairs)
    table = confusion(truth, said, FOLDERS)
    for i, folder in enumerate(FOLDERS):
        counted = sum(table.counts[i]) + table.unreadable[i] + table.out_of_enum[i]
        assert counted + table.missing[i] == truth.count(folder)
    labels = [*FOLDERS, "(failure)"]
    expected = sklearn_metrics.confusion_matrix(truth, as_text(said), labels=labels)
    assert [list(row) for row in table.counts] == expected[:4, :4].tolist()


@settings(deadline=None, max_examples=50)
@given(rows)
def test_single_label_numbers_equal_scikit_learns(pairs):
    truth, said = unzip(pairs)
    text, present = as_text(said), sorted(set(truth))
    options = {"labels": present, "zero_division": 0}
    values = sorted({*truth, *(value for value in said if isinstance(value, str))})
    expected = sklearn_metrics.f1_score(
        truth, text, average="macro", labels=values, zero_division=0
    )
    assert macro_f1(truth, said).value == pytest.approx(expected)
    each = sklearn_metrics.precision_recall_fscore_support(truth, text, **options)
    for value, want_precision, want_recall, want_f1, _ in zip(present, *each, strict=True):
        assert recall(truth, said, value).value == pytest.approx(want_recall)
        assert f1(truth, said, value).value == pytest.approx(want_f1)
        if value in said:
            assert precision(truth, said, value).value == pytest.approx(want_precision)


@settings(deadline=None, max_examples=50)
@given(multi_rows)
def test_multi_label_numbers_equal_scikit_learns(pairs):
    truth, said = unzip(pairs)
    binary = MultiLabelBinarizer(classes=INTENTS)
    true, given_ = binary.fit_transform(truth), binary.transform(as_sets(said))
    present = [i for i in range(len(INTENTS)) if true[:, i].any()]
    values = [i for i in range(len(INTENTS)) if true[:, i].any() or given_[:, i].any()]
    expected = sklearn_metrics.f1_score(
        true, given_, labels=values, average="macro", zero_division=0
    )
    assert macro_f1(truth, said).value == pytest.approx(expected)
    for i in present:
        want = sklearn_metrics.recall_score(true[:, i], given_[:, i])
        assert recall(truth, said, INTENTS[i]).value == pytest.approx(want)


@settings(deadline=None, max_examples=50)
@given(st.one_of(rows, multi_rows), st.integers(0, 3))
def test_estimates_lie_in_0_to_1_and_hold_their_value(pairs, seed):
    truth, said = unzip(pairs)
    estimate = macro_f1(truth, said, seed=seed)
    assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1
    assert estimate.n == len(pairs)


@settings(deadline=None, max_examples=50)
@given(st.one_of(rows, multi_rows), st.randoms())
def test_the_order_of_rows_does_not_matter(pairs, rng: random.Random):
    shuffled = rng.sample(pairs, len(pairs))
    assert macro_f1(*unzip(pairs)) == macro_f1(*unzip(shuffled))


@settings(deadline=None)
@given(st.one_of(rows, multi_rows), st.sampled_from(FAILURES), st.data())
def test_a_failure_never_raises_recall(pairs, failure, data):
    truth, said = unzip(pairs)
    broken = list(said)
    broken[data.draw(st.integers(0, len(said) - 1))] = failure
    value = truth[0][0] if isinstance(truth[0], tuple) else truth[0]
    assert recall(truth, broken, value).value <= recall(truth, said, value).value


def test_a_value_that_is_only_said_counts_in_macro_f1():
    truth = ("Work",) * 8 + ("Alerts",) * 8
    said = ("Work",) * 7 + ("Personal",) + ("Alerts",) * 8
    found = macro_f1(truth, said).value
    assert found == pytest.approx(sklearn_metrics.f1_score(truth, said, average="macro"))
    assert found == pytest.approx((14 / 15 + 1 + 0) / 3)
    instead = (*said[:7], OutOfEnum("Spam"), *said[8:])
    assert macro_f1(truth, instead).value == pytest.approx((14 / 15 + 1) / 2)


def test_macro_f1_is_repeatable():
    truth = FOLDERS * 25
    said = FOLDERS * 10 + ("Work",) * 60
    assert macro_f1(truth, said, seed=5) == macro_f1(truth, said, seed=5)
    assert macro_f1(truth, said, seed=5) != macro_f1(truth, said, seed=6)


def test_a_perfect_macro_f1_is_as_certain_as_its_rarest_values():
    balanced = macro_f1(FOLDERS * 25, FOLDERS * 25)
    assert (balanced.value, balanced.high) == (1, 1)
    assert balanced.low == pytest.approx(proportion(100, 100).low)
    truth = ("Work",) * 97 + ("Alerts",) * 3
    assert macro_f1(truth, truth).low == pytest.approx(0.75, abs=0.02)  # 4 / (1/97 + 1/3) rows
    assert macro_f1(truth, ("Personal",) * 100).low == 0


def test_a_perfect_f1_is_as_certain_as_the_rows_it_concerns():
    truth = ("Work",) * 20 + ("Alerts",) * 80
    assert f1(truth, truth, "Work").low == pytest.approx(proportion(20, 20).low)


def test_shares_are_clustered_on_their_own_rows():
    truth = ("Work", "Work", "Work", "Alerts", "Alerts", "Alerts")
    said = ("Work", "Work", "Alerts", "Alerts", "Work", "Alerts")
    groups = [5, 5, 1, 2, 2, 3]
    assert recall(truth, said, "Work", groups=groups) == share(
        [True, True, False], groups=[5, 5, 1], asked=""
    )
    assert precision(truth, said, "Work", groups=groups) == share(
        [True, True, False], groups=[5, 5, 2], asked=""
    )
    assert recall(truth, said, "Alerts", groups=[0, 0, 0, 1, 2, 3]).method == "wilson"


@settings(deadline=None, max_examples=30)
@given(st.one_of(rows, multi_rows), st.randoms())
def test_clustered_macro_f1_depends_on_neither_order_nor_group_numbers(pairs, rng):
    groups = [rng.randrange(5) for _ in pairs]
    names = rng.sample(range(5), 5)
    order = rng.sample(range(len(pairs)), len(pairs))
    truth, said = unzip(pairs)
    moved_truth, moved_said = unzip([pairs[row] for row in order])
    moved = macro_f1(moved_truth, moved_said, groups=[names[groups[row]] for row in order])
    assert macro_f1(truth, said, groups=groups) == moved
    alone = macro_f1(truth, said, groups=range(len(pairs)))
    assert alone == macro_f1(truth, said)


@settings(deadline=None, max_examples=50)
@given(rows, st.data())
def test_statistics_keep_the_order_of_rows(pairs, data):
    truth, said = unzip(pairs)
    one = st.integers(0, 3)
    weights = data.draw(st.lists(one, min_size=len(pairs), max_size=len(pairs)).filter(any))
    drawn = [pair for pair, count in zip(pairs, weights, strict=True) for _ in range(count)]
    resampled = unzip(drawn)
    row = np.array([weights], dtype=float)
    assert macro_f1_statistic(truth, said)(row)[0] == pytest.approx(macro_f1(*resampled).value)
