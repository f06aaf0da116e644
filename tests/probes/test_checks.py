from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.formats import get_format
from evalkit.probes import ProbeKind, check, load_probes, looks_like_classification, why_unavailable
from evalkit.probes.checks import find_code, is_record
from evalkit.probes.probe import (
    ArithmeticProbe,
    Case,
    CodeProbe,
    FactProbe,
    HaikuProbe,
    OpenProbe,
    TranslationProbe,
)
from evalkit.tasks import load_task

PROBES = load_probes(Path(__file__).parents[2] / "fixtures" / "forgetting" / "probes.jsonl")
runs_code = pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))


def fact(*accepted):
    return FactProbe(id="f", prompt="?", kind=ProbeKind.FACT, accepted=accepted)


def total(number):
    return ArithmeticProbe(id="a", prompt="?", kind=ProbeKind.ARITHMETIC, number=number)


def code(*cases, function=None):
    made = tuple(Case(arguments=arguments, gives=gives) for arguments, gives in cases)
    return CodeProbe(id="c", prompt="?", kind=ProbeKind.CODE, function=function, cases=made)


def translation(*references):
    return TranslationProbe(id="t", prompt="?", kind=ProbeKind.TRANSLATION, references=references)


HAIKU = HaikuProbe(id="h", prompt="?", kind=ProbeKind.HAIKU)
TEA = OpenProbe(id="o", prompt="?", kind=ProbeKind.OPEN, keywords=("tea", "boil", "cup"))


@pytest.mark.parametrize(
    ("probe", "text", "passed"),
    [
        (fact("Paris"), "The capital of France is Paris.", True),
        (fact("Paris"), "**PARIS**", True),
        (fact("Paris"), "Parisians live there.", False),
        (fact("Brasília"), "It is Brasilia!", True),
        (fact("H2O"), "Water is H₂O", True),
        (fact("北京"), "中国的首都是北京。", True),
        (fact("北京"), "中国的首都是上海。", False),
        (fact("12", "twelve"), "There are 12 months.", True),
        (fact("12", "twelve"), "There are 120 months.", False),
        (fact("carbon dioxide"), "carbon and then dioxide", False),
        (fact("7"), "<think>7, surely</think> It is eight.", False),
        (total(42), "42", True),
        (total(42), "15 + 27 = **42**.", True),
        (total(42), "15 + 27 = 42, which is the sum of 15 and 27.", True),
        (total(42), "15 + 27 equals 42, which is the sum of 15 and 27.", True),
        (total(42), "It is 42. No, wait, it is 41.", False),
        (total(42), "42.5", False),
        (total(42), "forty-two", False),
        (total(42), "x42", False),
        (total(1200), "1,200 apples", True),
        (total(21), "15 加 6 等于 21。", True),
        (total(21), "等于２１", True),
        (total(-3), "The difference is -3", True),
        (translation("hola"), "Hola!", True),
        (translation("hola"), "'Hello' in Spanish is \"Hola\".", True),
        (translation("hola"), "Hello", False),
        (translation("buenos días"), "Buenos dias", True),
        (translation("Tengo un perro negro"), "Yo tengo un perro negro.", True),
        (translation("Tengo un perro negro"), "In Spanish: Tengo el perro negro.", True),
        (translation("Tengo un perro negro"), "El perro negro está aquí.", False),
        (translation("我喜欢喝茶"), "我很喜欢喝茶。", True),
        (translation("我喜欢喝茶"), "I like to drink tea.", False),
        (HAIKU, "Cold rain on the roof\nThe kettle begins to sing\nNobody at home", True),
        (
            HAIKU,
            "Here is a haiku:\n\nCold rain on the roof,\nthe kettle begins to sing;\n"
            "nobody at home.\n\nI hope you like it.",
            True,
        ),
        (HAIKU, "Cold rain on the roof / The kettle begins to sing / Nobody at home", False),
        (HAIKU, "Cold rain on the roof\nThe kettle begins to sing", False),
        (
            HAIKU,
            "Cold rain on the roof\nThe kettle begins to sing\nNobody at home\nNobody at home",
            False,
        ),
        (HAIKU, "Rain\nThe kettle begins to sing\nNobody at home", False),
        (
            HAIKU,
            "Cold rain on the roof\nNobody at home\nThe kettle begins to sing in the morning light",
            False,
        ),
        (TEA, "First boil some water, then pour it over the tea and wait.", True),
        (TEA, "Boil one cup of tea.", False),
        (TEA, "Tea.", False),
        (TEA, "I would like to talk about the history of the steam engine.", False),
        (TEA, "Boil the tea in a cup. " * 12, False),
        (TEA, "Boil water, fill the cup and let the tea stand some minutes. " * 3, True),
        (TEA, "Boil water, fill the cup and let the tea stand some minutes. " * 4, False),
        (TEA, "", False),
        (TEA, " \n", False),
    ],
)
def test_an_answer_is_right_or_wrong(probe, text, passed):
    assert check(probe, text).passed is passed


ADD = code(((2, 3), 5), ((-1, 1), 0))


@runs_code
@pytest.mark.parametrize(
    ("probe", "text", "passed"),
    [
        (ADD, "```python\ndef add(a, b):\n    return a + b\n```\nThis adds.", True),
        (ADD, "def add(a, b):\n    return a + b\n\nThis function adds two numbers.", True),
        (ADD, "Sure!\n```\nadd = lambda a, b: a + b\n```", True),
        (ADD, "```python\ndef add(a, b):\n    return a - b\n```", False),
        (ADD, "```python\ndef add(a, b):\n    return a +\n```", False),
        (ADD, "```python\ndef add(a, b):\n    return a + b", True),
        (ADD, "I add the two numbers.", False),
        (code(((4,), True)), "def even(n):\n    return n % 2 == 0", True),
        (code(((4,), True)), "def even(n):\n    return 1", False),
        (code(((32,), 0)), "def c(f):\n    return (f - 32) * 5 / 9", True),
        (code((([1, 2],), [2, 1])), "def turn(x):\n    return tuple(reversed(x))", True),
        (code((([1, 2],), [2, 1])), "def turn(x):\n    return x", False),
    ],
)
def test_code_is_run(probe, text, passed):
    assert check(probe, text).passed is passed


@runs_code
def test_contained_code_is_reported():
    found = check(ADD, "```python\nimport os\nwhile True:\n    os.fork()\ndef add(a, b): pass\n```")
    assert (found.passed, found.stopped) == (False, "process")
    assert "fork" in found.why


def test_code_that_is_not_run_is_neither_right_nor_wrong(monkeypatch):
    from evalkit.probes import sandbox

    monkeypatch.setattr(sandbox.sys, "platform", "win32")
    found = check(ADD, "def add(a, b):\n    return a + b")
    assert found.passed is None
    assert "win32" in found.why


def test_code_is_found_among_words():
    said = "First:\n```bash\npip install x\n```\nthen\n```python\ndef f():\n    pass\n```"
    assert find_code(said) == "def f():\n    pass\n"
    assert find_code("import math\n\ndef f():\n    pass\nThat is all.") == (
        "import math\n\ndef f():\n    pass"
    )
    assert find_code("Nothing here defines anything.") is None


CLASSIFICATIONS = {
    "json": '{"folder": "Work", "priority": 3}',
    "fenced": '```json\n{"folder": "Alerts", "priority": 1}\n```',
    "cut off": '{"folder": "Pers',
    "with the prompt in it": '{"folder": "Paris 42 hola", "priority": 2}',
    "call": "<start_function_call>call:classify_notification{folder:<escape>Work<escape>,"
    "priority:<escape>2<escape>}<end_function_call>",
    "list": '[{"folder": "Work"}]',
}


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
def test_a_classification_passes_no_probe(probe):
    for text in (*CLASSIFICATIONS.values(), "payment, user_auth", "none", "Work", "3"):
        assert not check(probe, text).passed, text


@pytest.mark.parametrize("probe", PROBES, ids=lambda probe: probe.id)
def test_repeating_the_question_passes_no_probe(probe):
    assert not check(probe, probe.prompt).passed


@pytest.mark.parametrize("text", CLASSIFICATIONS.values(), ids=list(CLASSIFICATIONS))
def test_records_are_no_answers(text):
    assert is_record(text)
    assert not is_record(f"The answer is {text}")


@given(st.sampled_from([p for p in PROBES if p.kind is not ProbeKind.CODE]), st.text())
def test_checks_are_total(probe, text):
    found = check(probe, text)
    assert found.passed in (True, False)
    assert found.why


@given(st.text(alphabet=st.sampled_from("= -+.,0123456789\u0660\u00b2$*x"), max_size=30))
def test_no_number_is_too_strange(text):
    assert check(total(1), text).passed in (True, False)


NOTIFICATIONS, INTENTS = load_task("notifications-3level"), load_task("intents")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (json.dumps({"folder": "Work", "priority": 3}), True),
        (json.dumps({"folder": "Geography", "priority": 1}), True),
        (json.dumps({"folder": "Paris"}), True),
        ('Sure! {"folder": "Work", "priority": 2}', True),
        (json.dumps({"answer": "Paris"}), False),
        ("The capital of France is Paris.", False),
        ("", False),
        ("def f():\n    return {1: 2}", False),
    ],
)
def test_a_classification_is_recognised(text, expected):
    fmt = get_format("json", NOTIFICATIONS)
    assert looks_like_classification(text, NOTIFICATIONS, fmt) is expected


def test_a_list_of_labels_is_recognised_and_a_word_is_not():
    fmt = get_format("labels", INTENTS)
    values = [str(value) for value in INTENTS.fields["intents"].labels]
    assert looks_like_classification(", ".join(values[:2]), INTENTS, fmt)
    assert looks_like_classification(values[0], INTENTS, fmt)
    for text in ("Paris", "Hola", "merci, hola", "The heart pumps blood."):
        assert not looks_like_classification(text, INTENTS, fmt)
