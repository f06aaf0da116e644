"""Did every prompt arrive whole? Holds for every kind of task."""

import pytest

pytestmark = pytest.mark.needs("language_model")


def test_prompts_arrive_whole(evaluation, gate):
    """No prompt is longer than the context that the model was made for."""
    gate("truncated_prompts", evaluation.truncated_prompts())
