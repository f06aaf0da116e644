"""Did every prompt fit into the context? For every kind of task."""

import pytest

pytestmark = pytest.mark.needs("language_model")


def test_prompts_arrive_whole(evaluation, gate):
    """No prompt is longer than the model's context."""
    gate("truncated_prompts", evaluation.truncated_prompts())
