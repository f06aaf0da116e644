"""May a notification classifier ship? The criteria are in gates.toml."""

import pytest

pytestmark = pytest.mark.task("notifications")


def test_priority_accuracy(evaluation, gate):
    """The release criterion: four in five priorities right."""
    gate("priority_accuracy", evaluation.accuracy("priority"))


def test_folder_accuracy(evaluation, gate):
    """Nine in ten notifications in the right folder."""
    gate("folder_accuracy", evaluation.accuracy("folder"))


@pytest.mark.each_value("priority")
def test_every_priority_holds_up(evaluation, gate, value):
    """No level is sacrificed for the others."""
    gate("priority_recall", evaluation.recall("priority", value), slice=value)


@pytest.mark.each_value("folder")
def test_every_folder_holds_up(evaluation, gate, value):
    """No folder is sacrificed for the others."""
    gate("folder_recall", evaluation.recall("folder", value), slice=value)


def test_urgent_is_not_hidden(evaluation, gate):
    """The costly mistake: something urgent is shown as something to ignore."""
    gate("high_read_as_low", evaluation.top_read_as_bottom("priority"))
