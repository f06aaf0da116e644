"""May a classifier of shop requests ship? The criteria stand in gates.toml."""

import pytest

pytestmark = pytest.mark.task("intents")


def test_exact_match(evaluation, gate):
    """The right intents, all of them and no other."""
    gate("intents_exact_match", evaluation.accuracy("intents"))


def test_partial_match(evaluation, gate):
    """At least one right intent: the request reaches somebody who can help."""
    gate("intents_partial_match", evaluation.partial_match("intents"))


def test_overlap_with_the_right_intents(evaluation, gate):
    """What partial match forgives, wrong intents beside a right one, costs here."""
    gate("intents_jaccard", evaluation.jaccard("intents"))


def test_several_intents_at_once(evaluation, gate):
    """Requests with two or three intents: naming one each time is not enough."""
    several = evaluation.where(lambda row: len(row.label("intents")) > 1)
    gate("multi_intent_exact_match", several.accuracy("intents"))


@pytest.mark.each_value("intents")
def test_every_intent_is_found(evaluation, gate, value):
    """No intent is given up for the sake of the others."""
    gate("intent_recall", evaluation.recall("intents", value), slice=value)


@pytest.mark.needs("free_decoding")
def test_each_intent_is_named_once(evaluation, gate):
    """A list of the names and nothing else: no name twice, `none` beside nothing."""
    gate("intents_format_violations", evaluation.format_violation_rate())
