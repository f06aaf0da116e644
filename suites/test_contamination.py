"""Was the system trained on the test rows? For every kind of task."""


def test_test_rows_were_not_trained_on(evaluation, gate):
    """Almost no test row repeats a training row, word for word or nearly so."""
    gate("contamination", evaluation.contamination_rate())
