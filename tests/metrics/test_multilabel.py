"""Sets of labels: by hand and against scikit-learn."""

import random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics
from sklearn.preprocessing import MultiLabelBinarizer

from evalkit.errors import InsufficientData
from evalkit.metrics import (
    f1,
    jaccard,
    jaccard_statistic,
    label_scores,
    micro_f1,
    micro_f1_statistic,
    precision,
    recall,
)
from evalkit.records import Missing, OutOfEnum

INTENTS = ("order", "payment", "auth")
FAILURES = (None, Missing(), OutOfEnum("refund"))

sets = st.sets(st.sampled_from(INTENTS), min_size=1).map(
    lambda chosen: tuple(intent for intent in INTENTS if intent in chosen)
)
rows = st.lists(
    st.tuples(sets, st.one_of(sets, st.sampled_from(FAILURES))), min_size=1, max_size=40
)


def unzip(pairs):
    truth, said = zip(*pairs, strict=True)
    return truth, said


def test_by_hand():
    truth = (("order", "payment"), ("auth",), ("payment",), ("order",))
    said = (("order", "auth"), ("auth",), ("order",), None)
    assert jaccard(truth, said).value == pytest.approx((1 / 3 + 1) / 4)
    assert micro_f1(truth, said).value == pytest.approx(2 * 2 / (5 + 4))


@settings(deadline=None, max_examples=50)
@given(rows)
def test_numbers_equal_scikit_learns(pairs):
    truth, said = unzip(pairs)
    binary = MultiLabelBinarizer(classes=INTENTS)
    true = binary.fit_transform(truth)
    given_ = binary.transform([reading if isinstance(reading, tuple) else () for reading in said])
    options = {"average": "samples", "zero_division": 0}
    assert jaccard(truth, said).value == pytest.approx(
        sklearn_metrics.jaccard_score(true, given_, **options)
    )
    assert micro_f1(truth, said).value == pytest.approx(
        sklearn_metrics.f1_score(true, given_, average="micro", zero_division=0)
    )
    each = sklearn_metrics.precision_recall_fscore_support(true, given_, zero_division=0)
    table = label_scores(truth, said, INTENTS)
    for scores, *wanted, support in zip(table, *each, strict=True):
        assert scores.support == support
        for one, want in zip((scores.precision, scores.recall, scores.f1), wanted, strict=True):
            assert (one.value if one else 0) == pytest.approx(want)


@settings(deadline=None, max_examples=30)
@given(rows, st.randoms())
def test_the_order_of_rows_does_not_matter(pairs, rng: random.Random):
    groups = [rng.randrange(6) for _ in pairs]
    order = rng.sample(range(len(pairs)), len(pairs))
    moved, regrouped = unzip([pairs[row] for row in order]), [groups[row] for row in order]
    for metric in (jaccard, micro_f1):
        estimate = metric(*unzip(pairs), groups=groups)
        assert estimate == metric(*moved, groups=regrouped)
        assert 0 <= estimate.low <= estimate.value <= estimate.high <= 1


@settings(deadline=None, max_examples=50)
@given(rows, st.sampled_from(FAILURES), st.data())
def test_leaving_an_answer_out_never_helps_a_row(pairs, failure, data):
    truth, said = unzip(pairs)
    broken = list(said)
    broken[data.draw(st.integers(0, len(said) - 1))] = failure
    assert jaccard(truth, broken).value <= jaccard(truth, said).value


def test_statistics_keep_the_order_of_rows():
    truth, said = (("order",), ("auth", "payment")), (("order",), ("auth",))
    second = np.array([[0.0, 1.0]])
    assert jaccard_statistic(truth, said)(second)[0] == 0.5
    assert micro_f1_statistic(truth, said)(second)[0] == pytest.approx(2 / 3)


def test_the_table_has_the_metrics_of_each_value():
    truth, said = (("order",), ("order",), ("auth",)), (("order",), ("payment",), None)
    groups = [0, 0, 1]
    order, payment, auth = label_scores(truth, said, INTENTS, groups=groups)
    assert order.recall == recall(truth, said, "order", groups=groups)
    assert order.f1 == f1(truth, said, "order", groups=groups)
    assert order.precision == precision(truth, said, "order")
    assert (payment.support, payment.named, payment.recall) == (0, 1, None)
    assert (auth.support, auth.named, auth.precision) == (1, 0, None)
    (unseen,) = label_scores(truth, said, ["refund"])
    assert unseen.f1 is None


@pytest.mark.parametrize("metric", [jaccard, micro_f1])
def test_what_cannot_be_measured(metric):
    with pytest.raises(InsufficientData):
        metric((), ())
    with pytest.raises(ValueError, match="truth 'order' is not a set"):
        metric(("order",), (("order",),))
    with pytest.raises(ValueError, match=r"truth \(\) is not a set"):
        metric(((),), (None,))
    with pytest.raises(ValueError, match="answer 'order' is not a set"):
        metric((("order",),), ("order",))
    with pytest.raises(ValueError, match="shorter"):
        metric((("order",),), ())


def test_no_table_without_rows():
    with pytest.raises(InsufficientData):
        label_scores((), (), INTENTS)
