"""May a classifier of shop requests ship? The criteria are in gates.toml."""

import pytest

pytestmark = pytest.mark.task("intents")


def test_exact_match(evaluation, gate):
    """Exactly the right intents."""
    gate("intents_exact_match", evaluation.accuracy("intents"))


def test_partial_match(evaluation, gate):
    """At least one right intent: the request reaches someone who can help."""
    gate("intents_partial_match", evaluation.partial_match("intents"))


def test_overlap_with_the_right_intents(evaluation, gate):
    """Wrong intents beside a right one, which partial match ignores, cost here."""
    gate("intents_jaccard", evaluation.jaccard("intents"))


def test_several_intents_at_once(evaluation, gate):
    """Requests with two or three intents: naming one each time is not enough."""
    several = evaluation.where(lambda row: len(row.label("intents")) > 1)
    gate("multi_intent_exact_match", several.accuracy("intents"))


@pytest.mark.each_value("intents")
def test_every_intent_is_found(evaluation, gate, value):
    """No intent is sacrificed for the others."""
    gate("intent_recall", evaluation.recall("intents", value), slice=value)


@pytest.mark.needs("free_decoding")
def test_each_intent_is_named_once(evaluation, gate):
    """A list of names and nothing else: no name twice, and `none` only alone."""
    gate("intents_format_violations", evaluation.format_violation_rate())
