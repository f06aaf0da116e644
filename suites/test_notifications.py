"""May a notification classifier ship? The criteria stand in gates.toml."""

import pytest

pytestmark = pytest.mark.task("notifications")


def test_priority_accuracy(evaluation, gate):
    """The release criterion: four of five priorities right."""
    gate("priority_accuracy", evaluation.accuracy("priority"))


def test_folder_accuracy(evaluation, gate):
    """Nine of ten notifications in their folder."""
    gate("folder_accuracy", evaluation.accuracy("folder"))


@pytest.mark.each_value("priority")
def test_every_priority_holds_up(evaluation, gate, value):
    """No level is given up for the sake of the others."""
    gate("priority_recall", evaluation.recall("priority", value), slice=value)


@pytest.mark.each_value("folder")
def test_every_folder_holds_up(evaluation, gate, value):
    """No folder is given up for the sake of the others."""
    gate("folder_recall", evaluation.recall("folder", value), slice=value)


def test_urgent_is_not_hidden(evaluation, gate):
    """The costly mistake: what someone waits for is shown as what can be ignored."""
    gate("high_read_as_low", evaluation.top_read_as_bottom("priority"))
