"""May the ticket sorter ship? Its criteria, each with a reason, are in gates.toml."""

import pytest


def test_queue_accuracy(evaluation, gate):
    """Seven of ten tickets in the right queue."""
    gate("queue_accuracy", evaluation.accuracy("queue"))


def test_better_than_tfidf(evaluation, tfidf_baseline, gate):
    """Better than logistic regression on word counts, by a paired test on the same tickets."""
    ours, theirs = evaluation.accuracy("queue"), tfidf_baseline.accuracy("queue")
    gate("beats_tfidf", ours.against(theirs))


def test_no_training_tickets(evaluation, gate):
    """Next to no test ticket repeats a training ticket, word for word or nearly so."""
    gate("contamination", evaluation.contamination_rate())


@pytest.mark.needs("free_decoding")
def test_no_invented_queue(evaluation, gate):
    """Every answer names one of the four queues."""
    gate("out_of_enum_rate", evaluation.out_of_enum_rate())


@pytest.mark.needs("free_decoding")
def test_answers_can_be_parsed(evaluation, gate):
    """Next to no answer is lost to broken syntax."""
    gate("parse_failure_rate", evaluation.parse_failure_rate())
