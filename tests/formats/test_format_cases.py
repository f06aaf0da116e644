"""Cases as data: `cases/*.json` hold a text, how it is read, and why."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.formats import get_format
from evalkit.records import Label, Missing, OutOfEnum, ParseFailure, Prediction
from evalkit.tasks import load_task

CASES = {path.stem: json.loads(path.read_text()) for path in Path(__file__).parent.glob("cases/*")}
LEAST_CASES = {"json": 40, "call": 25, "labels": 20}


def value(expected: Any) -> Label | Missing | OutOfEnum:
    if isinstance(expected, dict):
        return OutOfEnum(expected["out_of_enum"]) if "out_of_enum" in expected else Missing()
    return tuple(expected) if isinstance(expected, list) else expected


def outcome(reading: Prediction | ParseFailure) -> object:
    """Return what a case says of a reading: why it failed, but not what was seen."""
    return reading.reason.value if isinstance(reading, ParseFailure) else reading


def expected_outcome(expected: Any) -> object:
    if "failure" in expected:
        return expected["failure"]
    fields = {name: value(said) for name, said in expected["fields"].items()}
    return Prediction(fields, expected.get("copied", {}))


def test_there_are_cases():
    assert {
        name: len(cases) for name, cases in CASES.items() if len(cases) < LEAST_CASES[name]
    } == {}
    assert CASES.keys() == LEAST_CASES.keys()


@pytest.mark.parametrize(
    ("format_name", "case"),
    [
        pytest.param(name, case, id=f"{name}-{case['name']}")
        for name, cases in CASES.items()
        for case in cases
    ],
)
def test_case(format_name: str, case: dict[str, Any]):
    task = load_task(case["task"])
    piece, times = case.get("repeat", ("", 0))
    text = case.get("text", "") + piece * times + case.get("end", "")
    format_ = get_format(format_name, task)

    reading = format_.parse(task, text)

    assert outcome(reading.strict) == expected_outcome(case["strict"]), case["why"]
    assert outcome(reading.lenient) == expected_outcome(case["lenient"]), case["why"]
