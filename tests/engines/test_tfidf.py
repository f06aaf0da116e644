from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from evalkit.engines.baseline import BaselineEngine
from evalkit.engines.tfidf import (
    Hashing,
    Regression,
    TfidfModel,
    _count,
    _weigh,
    fit_tfidf,
    likely_set,
    load_tfidf,
)
from evalkit.engines.tuning import Settings
from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Example, FinishReason, Label, Prediction, Request
from evalkit.tasks import Task, load_task

INTENTS = load_task("intents")
NOTIFICATIONS = load_task("notifications-3level")
HASHING = Hashing(words=(1, 2), characters=(2, 3), bits=10)
WISHES = {
    "我想支付这个订单": ("order_management", "payment"),
    "支付账单": ("payment",),
    "查询订单": ("order_management",),
    "库存还有吗": ("inventory",),
    "发短信通知我": ("notification",),
    "怎么登录账号": ("user_auth",),
    "今天天气怎么样": ("none",),
}


def wish(text: str, labels: tuple[str, ...], n: int = 0) -> Example:
    return Example(f"{text}{n}", {"prompt": text}, {"intents": labels})


def note(title: str, folder: str, priority: int) -> Example:
    inputs = {"app_name": "App", "title": title, "body": "words words"}
    return Example(title, inputs, {"folder": folder, "priority": priority})


NOTES = [
    note("meeting with the team", "Work", 2),
    note("dinner with mum", "Personal", 2),
    note("sale of shoes", "Promotions", 1),
    note("fire in the kitchen", "Alerts", 3),
]


def fit_wishes() -> TfidfModel:
    rows = [wish(text, labels, n) for n in range(3) for text, labels in WISHES.items()]
    return fit_tfidf(INTENTS, rows, HASHING, c=100.0, class_weight="balanced")


def fit_notes(notes: list[Example] = NOTES) -> TfidfModel:
    return fit_tfidf(NOTIFICATIONS, notes, HASHING, c=100.0, class_weight="none")


@pytest.fixture(scope="module")
def wishes() -> TfidfModel:
    return fit_wishes()


@pytest.fixture(scope="module")
def notes() -> TfidfModel:
    return fit_notes()


# What it answers


def test_chinese_sets_are_learned(wishes: TfidfModel):
    answers = wishes.answer([{"prompt": text} for text in WISHES])
    assert [answer.labels["intents"] for answer in answers] == list(WISHES.values())
    (near,) = wishes.answer([{"prompt": "请帮我支付账单吧"}])
    assert near.labels == {"intents": ("payment",)}


def test_every_chinese_or_japanese_character_is_a_word():
    hashing = dataclasses.replace(HASHING, words=(1, 1), bits=20)

    def words(text: str) -> int:
        return int(_count(INTENTS, [{"prompt": text}], hashing)[0].nnz)

    assert words("支付账单") == 4
    assert words("支付 Pay3 café") == 4
    assert words("ログイン、a b") == 6


def test_full_width_letters_are_letters(notes: TfidfModel, tmp_path: Path):
    wide = "".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in "fire in the kitchen")
    plain, widened = (
        notes.answer([{"app_name": "App", "title": title, "body": "words words"}])[0]
        for title in ("fire in the kitchen", wide)
    )
    assert widened == plain
    # A model from before does as it was trained.
    before = dataclasses.replace(notes, hashing=dataclasses.replace(notes.hashing, nfkc=False))
    before.save(tmp_path / "before.safetensors")
    assert not load_tfidf(tmp_path / "before.safetensors", NOTIFICATIONS).hashing.nfkc


def test_what_repeats_counts_by_its_logarithm():
    hashing = dataclasses.replace(HASHING, words=(1, 1), bits=20)
    asked = [{"prompt": "pay"}, {"prompt": "pay pay pay"}]
    once, thrice = (abs(_count(INTENTS, [given], hashing)[0]).max() for given in asked)
    assert (once, thrice) == (1, pytest.approx(1 + math.log(3)))
    plain = dataclasses.replace(hashing, sublinear=False)
    assert abs(_count(INTENTS, asked[1:], plain)[0]).max() == 3


def test_names_count_apart_with_a_weight_of_their_own(tmp_path: Path):
    hashing = dataclasses.replace(HASHING, name_weight=0.5)
    asked = [
        {"app_name": app, "title": title, "body": "b"}
        for app, title in (("Bank", "sale"), ("Chat", "sale"), ("Bank", "fire"))
    ]
    counts = _count(NOTIFICATIONS, asked, hashing)
    same = [[(b[0] != b[other]).nnz == 0 for b in counts] for other in (1, 2)]
    assert same == [[True, True, False], [False, False, True]]
    weighed = _weigh(counts, np.ones(sum(b.shape[1] for b in counts)), hashing)
    assert weighed.multiply(weighed).sum(axis=1).ravel().tolist() == [[pytest.approx(2.25)] * 3]
    model = fit_tfidf(NOTIFICATIONS, NOTES, hashing, c=100.0, class_weight="none")
    model.save(tmp_path / "b.safetensors")
    read = load_tfidf(tmp_path / "b.safetensors", NOTIFICATIONS)
    assert read.hashing == hashing
    assert read.answer(asked) == model.answer(asked)
    # A task of one input that is a name, or of none, has nothing to count apart.
    assert len(_count(INTENTS, [{"prompt": "pay"}], hashing)) == 2


def test_choices_and_ordinals_are_learned(notes: TfidfModel):
    answers = notes.answer([row.inputs for row in NOTES])
    assert [answer.labels for answer in answers] == [row.labels for row in NOTES]
    assert all(type(answer.labels["priority"]) is int for answer in answers)
    for answer in answers:
        assert 1 / 3 < answer.confidences["priority"] < 1
        assert 1 / 4 < answer.confidences["folder"] < 1


def test_confidences_are_the_probabilities_of_the_regression():
    weights = np.zeros((4, 2 * 2**10), np.float16)
    folder = Regression(weights, np.log(np.array([1, 2, 3, 4], np.float32)))
    priority = Regression(weights[:3], np.log(np.array([1, 1, 2], np.float32)))
    idf = np.ones(2 * 2**10, np.float16)
    model = TfidfModel(NOTIFICATIONS, HASHING, idf, {"folder": folder, "priority": priority})
    (answer,) = model.answer([NOTES[0].inputs])
    assert answer.labels == {"folder": "Alerts", "priority": 3}
    assert answer.confidences == pytest.approx({"folder": 0.4, "priority": 0.5})


ORDER = ("order_management", "payment", "user_auth", "inventory", "notification", "none")


@pytest.mark.parametrize(
    ("probabilities", "named", "confidence"),
    [
        ([0.9, 0.8, 0, 0, 0, 0], ("order_management", "payment"), 0.72),
        ([0.9, 0.5, 0, 0, 0, 0], ("order_management",), 0.45),
        # None is likelier than not: the likeliest, as no set is empty.
        ([0.2, 0.4, 0, 0, 0, 0.3], ("payment",), 0.8 * 0.4 * 0.7),
        # `none` stands alone or not at all.
        ([0, 0.6, 0, 0, 0, 0.7], ("none",), 0.4 * 0.7),
        ([0, 0.7, 0, 0, 0, 0.6], ("payment",), 0.7 * 0.4),
        ([0, 0, 0, 0, 0, 0], ("order_management",), 0.0),
    ],
)
def test_sets(probabilities: list[float], named: tuple[str, ...], confidence: float):
    assert INTENTS.fields["intents"].labels == ORDER
    label, given = likely_set(INTENTS.fields["intents"], probabilities)
    assert label == named
    assert given == pytest.approx(confidence)


def test_values_the_rows_never_have_are_never_said():
    rows = [NOTES[1], NOTES[2], note("sale of hats", "Promotions", 1)]
    model = fit_notes(rows)
    texts = [*(row.inputs for row in NOTES), {"app_name": "", "title": "", "body": ""}]
    for answer in model.answer(texts):
        assert answer.labels["folder"] in ("Personal", "Promotions")
        assert answer.labels["priority"] in (1, 2)
    assert [a.labels for a in model.answer([r.inputs for r in rows])] == [r.labels for r in rows]


def test_a_value_that_every_row_has_is_certain():
    model = fit_notes([note("a", "Work", 2), note("b", "Work", 2)])
    (answer,) = model.answer([NOTES[3].inputs])
    assert answer.labels == {"folder": "Work", "priority": 2}
    assert answer.confidences == {"folder": 1.0, "priority": 1.0}
    always = fit_tfidf(INTENTS, [wish("一", ("payment",)), wish("二", ("payment",))], HASHING, c=1)
    (answer,) = always.answer([{"prompt": "三"}])
    assert (answer.labels, answer.confidences) == ({"intents": ("payment",)}, {"intents": 1.0})


# Through the engine


@pytest.mark.parametrize("fmt", ["json", "call"])
def test_answers_are_canonical_and_carry_confidences(notes: TfidfModel, fmt: str):
    form = get_format(fmt, NOTIFICATIONS)
    engine = BaselineEngine(notes, NOTIFICATIONS, form)
    requests = [
        Request(row.id, form.prompt(NOTIFICATIONS, row.inputs), row.inputs, "") for row in NOTES
    ]
    answers = list(engine.complete(requests * 80))
    assert [name for name, _ in answers] == [row.id for row in NOTES] * 80
    for row, (_, completion) in zip(NOTES * 80, answers, strict=True):
        reading = form.parse(NOTIFICATIONS, completion.text).strict
        assert isinstance(reading, Prediction)
        assert reading.fields == row.labels
        assert completion.finish_reason is FinishReason.STOP
        assert completion.seconds > 0
        assert set(completion.confidences) == {"folder", "priority"}
    fit = "C 100, class weight none"
    assert engine.describe() == {
        "engine": "tfidf",
        "fit of folder": fit,
        "fit of priority": fit,
    }
    assert len(engine.prompt_sha256(requests[0].prompt)) == 64


# Its file


def saved(model: TfidfModel, path: Path) -> bytes:
    model.save(path)
    return path.read_bytes()


def test_what_is_read_answers_as_what_was_written(wishes: TfidfModel, tmp_path: Path):
    saved(wishes, tmp_path / "b.safetensors")
    read = load_tfidf(tmp_path / "b.safetensors", INTENTS)
    asked = [{"prompt": text} for text in (*WISHES, "支付", "hello", "")]
    assert read.answer(asked) == wishes.answer(asked)
    assert read.hashing == wishes.hashing
    assert read.settings == wishes.settings == {"intents": Settings(100.0, "balanced")}


def test_a_file_from_before_settings_were_kept_is_read(wishes: TfidfModel, tmp_path: Path):
    path = tmp_path / "b.safetensors"
    rewritten(wishes, path, {"settings": {}, "sublinear": False})
    read = load_tfidf(path, INTENTS)
    assert read.describe() == {"engine": "tfidf"}
    assert not read.hashing.sublinear


def test_the_same_rows_give_the_same_bytes(wishes: TfidfModel, tmp_path: Path):
    first = saved(wishes, tmp_path / "a")
    assert first == saved(fit_wishes(), tmp_path / "b")
    assert first != saved(fit_notes(), tmp_path / "c")


def test_no_training_text_stands_in_the_file(wishes: TfidfModel, tmp_path: Path):
    content = saved(wishes, tmp_path / "b.safetensors")
    for text in WISHES:
        for start in range(len(text) - 1):
            assert text[start : start + 2].encode() not in content


def rewritten(model: TfidfModel, path: Path, header: dict[str, Any], **tensors: Any) -> None:
    model.save(path)
    with safe_open(path, framework="numpy") as file:
        said = json.loads(file.metadata()["evalkit"])
    kept = {name: t for name, t in (load_file(path) | tensors).items() if t is not None}
    save_file(kept, path, {"evalkit": json.dumps(said | header)})


PLACES = 2 * 2**10
SAYS = "cannot be read as a baseline"


@pytest.mark.parametrize(
    ("header", "tensors", "said"),
    [
        ({"version": 2}, {}, "made by another version of evalkit"),
        ({"bits": 11}, {}, SAYS),
        ({"settings": []}, {}, SAYS),
        ({"settings": {"intents": {"c": "much"}}}, {}, SAYS),
        ({"bits": "many"}, {}, SAYS),
        ({"bits": 10**9}, {}, SAYS),
        ({"bits": -1}, {}, SAYS),
        ({"words": [0, 2]}, {}, SAYS),
        ({"characters": [3, 2]}, {}, SAYS),
        ({"words": [1]}, {}, SAYS),
        ({"words": None}, {}, SAYS),
        ({}, {"idf": None}, SAYS),
        ({}, {"more": np.zeros(3, np.float16)}, SAYS),
        ({}, {"bias.intents": np.zeros(5, np.float32)}, SAYS),
        ({}, {"bias.intents": np.zeros(6, np.int32)}, "bias.intents is not made of numbers"),
        ({}, {"bias.intents": np.full(6, np.nan, np.float32)}, "is not made of numbers"),
        ({}, {"idf": np.full(PLACES, np.inf, np.float16)}, "idf is not made of numbers"),
    ],
)
def test_a_file_with_a_fault_is_a_user_error(
    wishes: TfidfModel, tmp_path: Path, header: dict[str, Any], tensors: Any, said: str
):
    path = tmp_path / "b.safetensors"
    rewritten(wishes, path, header, **tensors)
    with pytest.raises(UserError) as caught:
        load_tfidf(path, INTENTS)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)
    assert "`evalkit train` makes it anew" in str(caught.value)


@pytest.mark.parametrize("content", [b"", b"\x08\0\0\0\0\0\0\0{}      ", b"{}", b"\xff" * 99])
def test_what_is_no_such_file_is_a_user_error(tmp_path: Path, content: bytes):
    path = tmp_path / "b.safetensors"
    path.write_bytes(content)
    with pytest.raises(UserError, match=SAYS):
        load_tfidf(path, INTENTS)


def test_half_a_file_is_a_user_error(wishes: TfidfModel, tmp_path: Path):
    path = tmp_path / "b.safetensors"
    path.write_bytes(saved(wishes, path)[:-100])
    with pytest.raises(UserError, match=SAYS):
        load_tfidf(path, INTENTS)
    with pytest.raises(UserError, match=SAYS):
        load_tfidf(tmp_path / "none.safetensors", INTENTS)


@pytest.mark.parametrize("task", ["notifications-3level", "notifications-5level"])
def test_another_tasks_file_is_a_user_error(wishes: TfidfModel, tmp_path: Path, task: str):
    path = tmp_path / "b.safetensors"
    wishes.save(path)
    with pytest.raises(UserError, match=f"other inputs, fields or values than '{task}'"):
        load_tfidf(path, load_task(task))


def test_another_wording_of_the_task_does_not_matter(wishes: TfidfModel, tmp_path: Path):
    path = tmp_path / "b.safetensors"
    wishes.save(path)
    reworded = Task.model_validate(INTENTS.model_dump() | {"instruction": "Sort it."})
    answers = load_tfidf(path, reworded).answer([{"prompt": "支付账单"}])
    expected: dict[str, Label] = {"intents": ("payment",)}
    assert answers[0].labels == expected
