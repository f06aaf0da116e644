"""Are the answers fit for a program to read? Holds for every kind of task."""


def test_no_value_outside_the_enum(evaluation, gate):
    """Zero hallucination: an answer names one of the task's values, always."""
    gate("out_of_enum_rate", evaluation.out_of_enum_rate())


def test_answers_can_be_parsed(evaluation, gate):
    """Next to no answer is lost to broken syntax."""
    gate("parse_failure_rate", evaluation.parse_failure_rate())
