"""What holds of every format, whatever a notification says and whatever a model writes."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.formats import FORMATS, get_format
from evalkit.formats.call import END, QUOTE, START, escape, unescape
from evalkit.records import FailureReason, Label, Missing, OutOfEnum, ParseFailure, Prediction
from evalkit.tasks import Field, FieldKind, FieldValue, Input, Task, load_task


def field(kind: FieldKind, *labels: str | int, alone: str | None = None) -> Field:
    values = [
        FieldValue(value=label, description="...", excludes_others=label == alone)
        for label in labels
    ]
    return Field(kind=kind, title="...", paths=("x",), values=tuple(values))


def task(name: str, **fields: Field) -> Task:
    inputs = {n: Input(title=n, paths=(n,)) for n in ("text", "正文")}
    return Task(name=name, family="odd", summary=".", instruction=".", inputs=inputs, fields=fields)


BUILT_IN = [load_task(n) for n in ("notifications-3level", "notifications-5level", "intents")]
QUOTABLE = task(
    "quotable",
    folder=field(FieldKind.CHOICE, 'say "hi"', "two words", "工作", "a, b", "a", "{}", "\\", "7"),
    level=field(FieldKind.ORDINAL, -1, 0, 10, 10**30),
    标签=field(FieldKind.MULTI_LABEL, '"quoted"', "two words", "紧急", "a:b", "无", alone="无"),
)
ANYTHING = task(
    "anything",
    folder=field(FieldKind.CHOICE, " padded ", "padded", "", "\n", QUOTE, "<think>", "\0", "a,b"),
    tags=field(FieldKind.MULTI_LABEL, "a, b", "a", "b", " a", "a;b", "[]", "", "true", "1"),
)
LISTABLE = task(
    "listable",
    tags=field(
        FieldKind.MULTI_LABEL, '"a"', "a", "[b].", "- c", "1. d", "It: is", "工作", "无", alone="无"
    ),
)
TASKS = {
    "json": [*BUILT_IN, QUOTABLE, LISTABLE, ANYTHING],
    "call": [*BUILT_IN, QUOTABLE, LISTABLE],
    "labels": [BUILT_IN[2], LISTABLE],
}
EVERYWHERE = pytest.mark.parametrize(
    ("format_name", "task"),
    [pytest.param(name, task, id=f"{name}-{task.name}") for name in TASKS for task in TASKS[name]],
)

FRAGMENTS = [START, END, QUOTE, "<escape_>", "<escape", "_", ">", "<start_function_response>"]
FRAGMENTS += ["call:classify_notification{", "call:classify{", "folder:", "priority:", "title:"]
FRAGMENTS += ['{"folder": "Work", "priority": 3}', '{"folder":', '"priority": ', "Work", "3", "1e9"]
FRAGMENTS += ["payment", "none", ", ", ",", "、", ":", "Intents:", "- ", "\n", " ", "\0", "\ud83d"]
FRAGMENTS += ["<think>", "</think>", "```", "{", "}", "[", "]", '"', "\\", "\\u", "NaN", "null"]
ANY_CHARACTER = st.characters()  # lone surrogates too
TEXTS = st.text(ANY_CHARACTER, max_size=40) | st.lists(
    st.sampled_from(FRAGMENTS) | st.text(ANY_CHARACTER, max_size=3), max_size=12
).map("".join)
SOME = settings(max_examples=40, deadline=None)


def labels_of(field: Field) -> st.SearchStrategy[Label]:
    if field.kind is not FieldKind.MULTI_LABEL:
        return st.sampled_from(field.labels)
    together = [str(label) for label in field.labels if label not in field.exclusive]
    subsets = st.sets(st.sampled_from(together), min_size=1)
    in_order = subsets.map(lambda chosen: tuple(n for n in together if n in chosen))
    return in_order | st.sampled_from([(str(n),) for n in field.labels])


@st.composite
def examples(draw: st.DrawFn, task: Task) -> tuple[dict[str, Label], dict[str, str]]:
    labels = {name: draw(labels_of(field)) for name, field in task.fields.items()}
    return labels, {name: draw(TEXTS) for name in task.inputs}


@st.composite
def mutated(draw: st.DrawFn, format_name: str, task: Task) -> str:
    """Cut, double or replace a few pieces of a canonical answer."""
    text = FORMATS[format_name].render(task, *draw(examples(task)))
    for _ in range(draw(st.integers(0, 3))):
        start = draw(st.integers(0, len(text)))
        end = draw(st.integers(start, min(len(text), start + 15)))
        piece = draw(st.sampled_from(FRAGMENTS) | st.just(text[start:end] * 2) | st.just(""))
        text = text[:start] + piece + text[end:]
    return text


@EVERYWHERE
@given(data=st.data())
@SOME
def test_what_is_rendered_is_read_back(format_name: str, task: Task, data: st.DataObject):
    labels, inputs = data.draw(examples(task))
    format_ = get_format(format_name, task)
    text = format_.render(task, labels, inputs)

    reading = format_.parse(task, text)

    expected = Prediction(labels, inputs if format_name == "call" else {})
    assert reading.strict == expected
    assert reading.lenient == expected
    read = reading.strict
    assert format_.render(task, read.fields, read.copied or inputs) == text


@EVERYWHERE
@given(data=st.data())
@SOME
def test_any_text_is_read(format_name: str, task: Task, data: st.DataObject):
    text = data.draw(TEXTS | mutated(format_name, task))

    reading = FORMATS[format_name].parse(task, text)

    if isinstance(reading.strict, Prediction):
        assert reading.strict == reading.lenient
        assert Missing() not in reading.strict.fields.values()
    for outcome in (reading.strict, reading.lenient):
        if isinstance(outcome, ParseFailure):
            assert is_showable(outcome.detail)
        else:
            assert list(outcome.fields) == list(task.fields)
            for name, value in outcome.fields.items():
                assert is_possible(task.fields[name], value)
    if isinstance(reading.lenient, ParseFailure):
        assert reading.lenient.reason in ("empty", "no_answer", "truncated", "malformed")
        assert (reading.lenient.reason == "empty") == (not text.strip())


def is_showable(text: str) -> bool:
    """Tell whether a record may hold this: short, and no half of a surrogate pair."""
    return len(text) <= 200 and text == text.encode("utf-8", "replace").decode()


def is_possible(field: Field, value: Label | Missing | OutOfEnum) -> bool:
    if isinstance(value, tuple):
        in_order = tuple(label for label in field.labels if label in value)
        return value == in_order != () and (len(value) == 1 or not field.exclusive & {*value})
    if isinstance(value, OutOfEnum):
        return is_showable(value.text)
    known = any(value == label and type(value) is type(label) for label in field.labels)
    return known or value == Missing()


@EVERYWHERE
@given(data=st.data())
@SOME
def test_an_answer_is_found_among_other_text(format_name: str, task: Task, data: st.DataObject):
    labels, inputs = data.draw(examples(task))
    text = FORMATS[format_name].render(task, labels, inputs)
    before = data.draw(
        st.sampled_from(["", "Sure, {here} it is!\n\n", "<think>\n{}\n</think>\n\n"])
    )
    after = data.draw(st.sampled_from(["\n", "\n```\n", "\n\nHope that helps.", "\n<think>"]))

    reading = FORMATS[format_name].parse(task, f"{before}{text}{after}")

    assert isinstance(reading.strict, ParseFailure)
    assert reading.strict.reason is FailureReason.EXTRA_TEXT
    assert reading.lenient == Prediction(labels, inputs if format_name == "call" else {})


@pytest.mark.parametrize(("format_name", "opening"), [("json", "{"), ("call", START)])
@pytest.mark.parametrize("task", BUILT_IN, ids=lambda task: task.name)
@given(data=st.data())
@SOME
def test_a_cut_answer_is_truncated(format_name: str, opening: str, task: Task, data: st.DataObject):
    text = FORMATS[format_name].render(task, *data.draw(examples(task)))
    cut = data.draw(st.integers(len(opening), text.rindex("}")))

    reading = FORMATS[format_name].parse(task, text[:cut])

    for outcome in (reading.strict, reading.lenient):
        assert isinstance(outcome, ParseFailure)
        assert outcome.reason is FailureReason.TRUNCATED


@given(TEXTS)
def test_unescape_undoes_escape(text: str):
    assert unescape(escape(text)) == text
    assert not any(marker in escape(text) for marker in (START, END, QUOTE))


@given(TEXTS, TEXTS)
def test_different_texts_are_escaped_differently(one: str, other: str):
    assert (escape(one) == escape(other)) == (one == other)
