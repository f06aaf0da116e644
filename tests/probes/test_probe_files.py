from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from evalkit.engines.chat import build_chat
from evalkit.errors import UserError
from evalkit.probes import ProbeKind, check, load_probes, load_texts, probe_request, why_unavailable
from tiny_models import tokenizer

FORGETTING = Path(__file__).parents[2] / "fixtures" / "forgetting"
PROBES = load_probes(FORGETTING / "probes.jsonl")
SEED = {
    "What is the capital of France?",
    "What is 15 + 27?",
    "Write a Python function that adds two numbers.",
    "Write a haiku about the moon.",
    "Translate 'Hello' to Spanish.",
    "Can you help me with something?",
}


def test_the_probes_of_the_seed_and_ten_more_of_each_kind():
    counts = Counter(probe.kind for probe in PROBES)
    assert set(counts) == set(ProbeKind)
    assert min(counts.values()) >= 11
    prompts = [probe.prompt for probe in PROBES]
    assert set(prompts) > SEED
    assert len(set(prompts)) == len(prompts)


RIGHT = {
    "code-01": "def add(a, b):\n    return a + b",
    "code-02": "def is_even(n):\n    return n % 2 == 0",
    "code-03": "def reverse(text):\n    return text[::-1]",
    "code-04": "def largest(numbers):\n    return max(numbers)",
    "code-05": "def square(x):\n    return x * x",
    "code-06": "def total(numbers):\n    return sum(numbers)",
    "code-07": "def factorial(n):\n    return 1 if n < 2 else n * factorial(n - 1)",
    "code-08": "def count_vowels(text):\n    return sum(c in 'aeiou' for c in text)",
    "code-09": "def to_celsius(f):\n    return (f - 32) / 1.8",
    "code-10": "def greet(name):\n    return f'Hello, {name}!'",
    "code-11": "def smaller(a, b):\n    return min(a, b)",
    "code-12": "def multiply(a, b):\n    return a * b",
}


@pytest.mark.skipif(why_unavailable() is not None, reason=str(why_unavailable()))
@pytest.mark.parametrize(
    "probe", [p for p in PROBES if p.kind is ProbeKind.CODE], ids=lambda p: p.id
)
def test_every_code_probe_can_be_passed_and_not_by_the_answer_to_another(probe):
    assert check(probe, RIGHT[probe.id]).passed
    names = list(RIGHT)
    other = names[names.index(probe.id) - 1]
    assert check(probe, RIGHT[other]).passed is False


def test_the_texts():
    texts = load_texts(FORGETTING / "texts.jsonl")
    assert len(texts) >= 30
    assert len(set(texts.values())) == len(texts)
    assert sum(any("\u4e00" <= c <= "\u9fff" for c in text) for text in texts.values()) >= 6


@pytest.mark.parametrize("family", ["chatml", "qwen3", "gemma"])
def test_a_probe_is_a_plain_turn_of_the_chat(family):
    """As if somebody had asked the model itself, with no instructions above it."""
    words = tokenizer(family)
    request = probe_request(PROBES[0])
    text = "".join(span.text for span in build_chat(words).layout(request.prompt))
    plain = words.apply_chat_template(
        [{"role": "user", "content": PROBES[0].prompt}],
        tokenize=False,
        add_generation_prompt=True,
        enable_thinking=False,
    )
    assert text == plain


def test_there_is_room_for_an_answer():
    words = tokenizer()
    for probe in PROBES:
        assert len(words(probe_request(probe).longest_answer)["input_ids"]) >= 40


FACT = {"id": "a", "kind": "fact", "prompt": "?", "accepted": ["x"]}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([FACT, FACT], "probes.jsonl:2: id 'a' appears twice"),
        ([{**FACT, "kind": "song"}], "probes.jsonl:1: .*song"),
        ([{**FACT, "accepted": []}], "probes.jsonl:1: fact.accepted: "),
        ([{**FACT, "answer": 1}], "probes.jsonl:1: unknown key 'fact.answer'"),
        (
            [{"id": "a", "kind": "arithmetic", "prompt": "?"}],
            "probes.jsonl:1: arithmetic.number is missing",
        ),
        ([3], "probes.jsonl:1: "),
    ],
)
def test_a_fault_is_named_with_its_line(tmp_path, rows, message):
    file = tmp_path / "probes.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(UserError, match=message):
        load_probes(file)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"id": "a"}', "texts.jsonl:1: not a JSON object with `id` and `text`"),
        ("[]", "texts.jsonl:1: "),
        ("{", "texts.jsonl:1: "),
        ('{"id": "a", "text": "x"}\n{"id": "a", "text": "y"}', "texts.jsonl:2: id 'a'"),
    ],
)
def test_a_fault_in_texts_is_named_with_its_line(tmp_path, content, message):
    file = tmp_path / "texts.jsonl"
    file.write_text(content)
    with pytest.raises(UserError, match=message):
        load_texts(file)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match=r"There is no .*nowhere\.jsonl"):
        load_probes(tmp_path / "nowhere.jsonl")
