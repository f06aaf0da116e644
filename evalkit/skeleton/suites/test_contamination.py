"""Was the system trained on what it is judged on? Holds for every kind of task."""


def test_test_rows_were_not_trained_on(evaluation, gate):
    """Next to no row repeats a training row, word for word or nearly so."""
    gate("contamination", evaluation.contamination_rate())
