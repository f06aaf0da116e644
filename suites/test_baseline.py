"""Is a language model worth it? For every kind of task."""

import pytest


@pytest.mark.each_field
def test_better_than_tfidf(evaluation, tfidf_baseline, gate, field):
    """Better than logistic regression on word counts, by a paired test on the same rows."""
    ours, theirs = evaluation.accuracy(field), tfidf_baseline.accuracy(field)
    gate("beats_tfidf", ours.against(theirs), slice=field)
