"""Every canonical answer is in the grammar, and nothing else is."""

from __future__ import annotations

import json

import jsonschema
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from command_line import evalkit
from evalkit.errors import UserError
from evalkit.formats import FORMATS, get_format
from evalkit.formats.base import canonical_labels
from evalkit.formats.call import escape, unescape
from evalkit.formats.grammar import gbnf, json_schema
from evalkit.records import Prediction
from evalkit.tasks import Task, load_task, task_names
from gbnf_matcher import matches

AWKWARD = Task.model_validate(
    {
        "name": "awkward",
        "family": "awkward",
        "summary": "values that have to be escaped",
        "instruction": "Sort it.",
        "inputs": {"body": {"title": "Body", "paths": ["body"]}},
        "fields": {
            'the "kind"': {
                "kind": "choice",
                "title": "Kinds",
                "paths": ["kind"],
                "values": [
                    {"value": value, "description": "x"}
                    for value in ('say "hi"', "back\\slash", "new\nline", "飞书", "a\u2028b", "😀")
                ],
            },
            "level": {
                "kind": "ordinal",
                "title": "Levels",
                "paths": ["level"],
                "values": [{"value": value, "description": "x"} for value in (-1, 1, 10)],
            },
            "tags": {
                "kind": "multi-label",
                "title": "Tags",
                "paths": ["tags"],
                "values": [
                    {"value": "none", "description": "x", "excludes_others": True},
                    {"value": "a", "description": "x"},
                    {"value": "nothing", "description": "x", "excludes_others": True},
                    {"value": "b", "description": "x"},
                ],
            },
        },
    }
)
TASKS = {**{name: load_task(name) for name in task_names()}, "awkward": AWKWARD}


def fits(name: str, task: Task) -> bool:
    try:
        get_format(name, task)
    except UserError:
        return False
    return True


PAIRS = [(task, name) for task in TASKS for name in FORMATS if fits(name, TASKS[task])]
INPUTS = ("Standup at 10", "", "a <escape> b", "<<end_function_call>", "飞书：\n5% off <3")


def canonical(task: Task, name: str, text: str = INPUTS[0]) -> list[str]:
    inputs = dict.fromkeys(task.inputs, text)
    return [FORMATS[name].render(task, labels, inputs) for labels in canonical_labels(task, 1000)]


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_gbnf_accepts_every_canonical_answer(task: str, name: str):
    grammar = gbnf(TASKS[task], name)
    answers = canonical(TASKS[task], name)
    assert answers
    assert [answer for answer in answers if not matches(grammar, answer)] == []


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_gbnf_refuses_everything_near(task: str, name: str):
    grammar = gbnf(TASKS[task], name)
    answers = set(canonical(TASKS[task], name))
    for answer in sorted(answers)[:4]:
        near = {
            f"{answer} ",
            f" {answer}",
            answer + answer,
            answer.lower(),
            answer.replace(":", ""),
        }
        near |= {answer[:place] + answer[place + 1 :] for place in range(len(answer))}
        if name == "call":  # less of a copied input is an input too
            near = {n for n in near if not strictly_read(TASKS[task], name, n)}
        assert [n for n in near - answers if matches(grammar, n)] == []


@pytest.mark.parametrize(
    ("task", "name", "answer"),
    [
        ("notifications-3level", "json", '{"folder": "Spam", "priority": 1}'),
        ("notifications-3level", "json", '{"folder": "Work", "priority": 4}'),
        ("notifications-3level", "json", '{"folder": "Work", "priority": "1"}'),
        ("notifications-3level", "json", '{"folder": "Work"}'),
        ("notifications-3level", "json", '{"priority": 1, "folder": "Work"}'),
        ("notifications-3level", "json", '{"folder":"Work","priority":1}'),
        ("notifications-3level", "json", '{"folder": "Work", "priority": 1, "x": 1}'),
        ("intents", "json", '{"intents": []}'),
        ("intents", "json", '{"intents": ["none", "payment"]}'),
        ("intents", "json", '{"intents": ["payment", "payment"]}'),
        ("intents", "labels", ""),
        ("intents", "labels", "refund"),
        ("intents", "labels", "payment,user_auth"),
        ("intents", "labels", "payment, order_management"),
        ("intents", "labels", "payment, payment"),
        ("intents", "labels", "none, payment"),
        ("intents", "labels", "payment, "),
    ],
)
def test_gbnf_refuses(task: str, name: str, answer: str):
    assert not matches(gbnf(TASKS[task], name), answer)


def strictly_read(task: Task, name: str, text: str) -> bool:
    return isinstance(FORMATS[name].parse(task, text).strict, Prediction)


MARKERS = ("<escape>", "<escape_>", "<start_function_call>", "<end_function_call>", "<", "_", ">")
TEXTS = st.lists(st.sampled_from((*MARKERS, "a", "\n", "飞", "esc", "end_"))).map("".join)


@given(TEXTS)
@example("<end_function_call")
@example("<<escape>")
@example("<e<escape>")
@example("<" * 3000)
def test_a_copied_input_is_any_text_and_never_ends_early(body: str):
    task = TASKS["notifications-3level"]
    grammar = CALL_GRAMMAR
    inputs = dict.fromkeys(task.inputs, body)
    answer = FORMATS["call"].render(task, {"folder": "Work", "priority": 3}, inputs)
    assert matches(grammar, answer)
    # Not escaped, it is in the grammar where there was nothing to escape, and only there.
    raw = answer_with(body)
    accepted = matches(grammar, raw)
    assert accepted == (escape(unescape(body)) == body)
    assert strictly_read(task, "call", raw) or not accepted


def answer_with(body: str) -> str:
    return (
        "<start_function_call>call:classify_notification{app_name:<escape><escape>,"
        f"title:<escape><escape>,body:<escape>{body}<escape>,"
        "folder:<escape>Work<escape>,priority:<escape>3<escape>}<end_function_call>"
    )


CALL_GRAMMAR = gbnf(TASKS["notifications-3level"], "call")


@pytest.mark.parametrize(("task", "name"), PAIRS)
def test_xgrammar_reads_it_too(task: str, name: str):
    """The parser that vLLM uses. It asks for Triton on Linux, so CI installs it without that."""
    xgrammar = pytest.importorskip("xgrammar", reason="xgrammar is not installed")
    accepts = pytest.importorskip("xgrammar.testing")._is_grammar_accept_string
    grammar = xgrammar.Grammar.from_ebnf(gbnf(TASKS[task], name))
    for text in INPUTS if name == "call" else INPUTS[:1]:
        for answer in canonical(TASKS[task], name, text):
            assert accepts(grammar, answer)
            assert not accepts(grammar, f"{answer} ")
            assert not accepts(grammar, answer[:-1])


# JSON Schema


@pytest.mark.parametrize("task", TASKS)
def test_the_schema_accepts_every_canonical_answer(task: str):
    schema = json_schema(TASKS[task], "json")
    jsonschema.Draft202012Validator.check_schema(schema)
    validator = jsonschema.Draft202012Validator(schema)
    for answer in canonical(TASKS[task], "json"):
        validator.validate(json.loads(answer))


@pytest.mark.parametrize(
    ("task", "answer"),
    [
        ("notifications-3level", {"folder": "Spam", "priority": 1}),
        ("notifications-3level", {"folder": "Work", "priority": 4}),
        ("notifications-3level", {"folder": "Work", "priority": "1"}),
        ("notifications-3level", {"folder": "Work"}),
        ("notifications-3level", {"folder": "Work", "priority": 1, "x": 1}),
        ("notifications-3level", ["Work", 1]),
        ("intents", {"intents": []}),
        ("intents", {"intents": "payment"}),
        ("intents", {"intents": ["refund"]}),
        ("intents", {"intents": ["none", "payment"]}),
        ("intents", {"intents": ["payment", "payment"]}),
    ],
)
def test_the_schema_refuses(task: str, answer: object):
    validator = jsonschema.Draft202012Validator(json_schema(TASKS[task], "json"))
    assert not validator.is_valid(answer)


@pytest.mark.parametrize("name", ["labels", "call"])
def test_what_is_not_json_has_no_schema(name: str):
    with pytest.raises(UserError, match=f"'{name}' are not JSON.*--as gbnf"):
        json_schema(TASKS["intents"], name)


# The command


def test_the_command_prints_either():
    done = evalkit("grammar", "notifications-3level")
    assert done.stdout == gbnf(TASKS["notifications-3level"], "json")
    done = evalkit("grammar", "intents", "--as", "json-schema")
    assert json.loads(done.stdout) == json_schema(TASKS["intents"], "json")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["notification"], "There is no task 'notification'"),
        (["intents", "--format", "yaml"], "There is no format 'yaml'"),
        (["notifications-3level", "--format", "labels"], "Use format 'json'"),
        (["intents", "--as", "regex"], "--as is gbnf or json-schema"),
        (["intents", "--format", "labels", "--as", "json-schema"], "are not JSON"),
    ],
)
def test_a_mistake_in_the_command(arguments: list[str], message: str):
    done = evalkit("grammar", *arguments)
    assert done.returncode == 4
    assert message in done.stderr
    assert "Traceback" not in done.stderr
