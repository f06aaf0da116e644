"""What a file's author is told of what pydantic refuses: field, what is expected, what is there."""

from __future__ import annotations

import pytest
from pydantic import BaseModel, ValidationError

from evalkit.gates.policy import GatesFile
from evalkit.systems import SystemConfig
from evalkit.tasks import Task
from evalkit.validation import explain

TASK = {"name": "t", "family": "f", "summary": "s", "instruction": "i", "inputs": {}}
FIELD = {"kind": "choise", "title": "t", "paths": "a", "values": [{"value": "a"}]}


@pytest.mark.parametrize(
    ("model", "content", "said"),
    [
        (
            GatesFile,
            {"a": {"min_value": 0.5}},
            "a.why is missing (the reason for the threshold, with its source)",
        ),
        (
            GatesFile,
            {"a": {"min_value": 0.5, "wy": 3, "why": 3, "min_cases": 0}},
            "a.min_cases: expected at least 1, found 0; a.why: expected a text, found 3; "
            "unknown key 'a.wy'. Did you mean 'why'?",
        ),
        (GatesFile, {"a": 3}, "a: expected a table, found 3"),
        (
            SystemConfig,
            {"task": "x", "format": "json", "quantization": "nf5"},
            "quantization: expected 'none' or 'nf4', found 'nf5'. Did you mean 'nf4'?",
        ),
        (
            Task,
            {**TASK, "fields": {"q": FIELD}},
            "fields.q.kind: expected 'choice', 'ordinal' or 'multi-label', found 'choise'. "
            "Did you mean 'choice'?; "
            'fields.q.paths: expected a list, such as ["a", "b"], found \'a\'; '
            "fields.q.values.0.description is missing (what it means, in the words of whoever "
            "labels; it stands in the prompt)",
        ),
        (
            Task,
            {"name": "t"},
            'family is missing (what suites call this kind of task: `@pytest.mark.task("'
            'notifications")`); summary is missing (one line, for people, servers and function '
            "calls); instruction is missing (the first lines of the prompt) (and 2 more)",
        ),
    ],
)
def test_a_fault_names_the_field_and_what_belongs_there(
    model: type[BaseModel], content: dict[str, object], said: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model.model_validate(content)
    assert explain(caught.value, model) == said
