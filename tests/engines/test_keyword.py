from __future__ import annotations

import pytest

from evalkit.engines.keyword import KEYWORDS, KeywordEngine
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.formats.base import empty_prompt
from evalkit.records import FinishReason, Prediction, Request
from evalkit.tasks import load_task

INTENTS = load_task("intents")
LABELS = get_format("labels", INTENTS)


def answer(text: str) -> tuple[str, ...]:
    engine = KeywordEngine(INTENTS, LABELS)
    inputs = {"prompt": text}
    request = Request("r", LABELS.prompt(INTENTS, inputs), inputs, "")
    ((name, completion),) = engine.complete([request])
    assert (name, completion.finish_reason) == ("r", FinishReason.STOP)
    reading = LABELS.parse(INTENTS, completion.text).strict
    assert isinstance(reading, Prediction)
    label = reading.fields["intents"]
    assert isinstance(label, tuple)
    return label


@pytest.mark.parametrize(
    ("text", "intents"),
    [
        ("我想支付订单", ("order_management", "payment")),
        ("LOG IN and check the Stock", ("user_auth", "inventory")),
        ("发短信提醒我", ("notification",)),
        ("今天天气怎么样", ("none",)),
        ("", ("none",)),
    ],
)
def test_intents_of_keywords_in_the_tasks_order(text: str, intents: tuple[str, ...]):
    assert answer(text) == intents


def test_every_keyword_finds_its_intent():
    for intent, words in KEYWORDS.items():
        for word in words:
            assert intent in answer(f"... {word} ...")


def test_requests_keep_their_order_and_ids():
    engine = KeywordEngine(INTENTS, LABELS)
    prompt = empty_prompt(INTENTS, LABELS)
    requests = [Request(str(n), prompt, {"prompt": ""}, "") for n in range(5)]
    assert [name for name, _ in engine.complete(requests)] == ["0", "1", "2", "3", "4"]
    assert engine.describe() == {"engine": "keyword"}
    assert len(engine.prompt_sha256(prompt)) == 64


def test_another_task_is_a_user_error():
    task = load_task("notifications-3level")
    with pytest.raises(UserError, match="not those of 'notifications-3level'"):
        KeywordEngine(task, get_format("json", task))
