"""Is a language model worth it? Holds for every kind of task."""

import pytest


@pytest.mark.each_field
def test_better_than_tfidf(evaluation, tfidf_baseline, gate, field):
    """A model that logistic regression on word counts equals is not worth its megabytes."""
    ours, theirs = evaluation.accuracy(field), tfidf_baseline.accuracy(field)
    gate("beats_tfidf", ours.against(theirs), slice=field)
