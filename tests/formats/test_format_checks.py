"""A format refuses a task whose labels it could not read back."""

from __future__ import annotations

import json
import unicodedata
from typing import Literal

import pytest

from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Prediction
from evalkit.tasks import Field, FieldKind, FieldValue, Input, Task


def task(kind: FieldKind, label: str, field: str = "tags", function: str = "classify") -> Task:
    values = tuple(FieldValue(value=value, description="...") for value in ("plain", label))
    return Task(
        name="odd",
        family="odd",
        summary="...",
        instruction="...",
        function=function,
        inputs={"text": Input(title="Text", paths=("text",))},
        fields={field: Field(kind=kind, title="...", paths=("x",), values=values)},
    )


@pytest.mark.parametrize("format_name", ["labels", "call"])
@pytest.mark.parametrize("label", ["a,b", "a、b", "a; b", " a", "a\n", "a\nb", "a\u2028b", "", " "])
def test_names_that_make_no_list(format_name: str, label: str):
    with pytest.raises(UserError) as error:
        get_format(format_name, task(FieldKind.MULTI_LABEL, label))
    assert repr(label) in str(error.value)
    assert "'json'" in str(error.value)


@pytest.mark.parametrize("label", ["<escape>", "<escape_>", "a<end_function_call>", " a", "a\n"])
def test_values_that_cannot_be_quoted_in_a_call(label: str):
    with pytest.raises(UserError) as error:
        get_format("call", task(FieldKind.CHOICE, label))
    assert repr(label) in str(error.value)
    assert "'json'" in str(error.value)


@pytest.mark.parametrize("name", ["two words", "a:b", "a-b", "", "a}", "{"])
@pytest.mark.parametrize("what", ["field", "function"])
def test_names_that_break_a_call(what: str, name: str):
    with pytest.raises(UserError, match="call") as error:
        get_format("call", task(FieldKind.CHOICE, "other", **{what: name}))
    assert repr(name) in str(error.value)


@pytest.mark.parametrize("kind", [FieldKind.CHOICE, FieldKind.MULTI_LABEL])
@pytest.mark.parametrize("label", ["a,b", " a", "", "<escape>", "\0", '"'])
def test_json_writes_every_label(kind: FieldKind, label: str):
    assert get_format("json", task(kind, label, field="two words")).name == "json"


@pytest.mark.parametrize("format_name", ["call", "labels"])
def test_names_in_any_script(format_name: str):
    assert get_format(format_name, task(FieldKind.MULTI_LABEL, "工作 (急)")).name == format_name


def test_labels_writes_one_multi_label_field():
    with pytest.raises(UserError, match="one multi-label field"):
        get_format("labels", task(FieldKind.CHOICE, "other"))


@pytest.mark.parametrize("form", ["NFC", "NFD"])
def test_a_label_is_read_however_its_accents_are_composed(form: Literal["NFC", "NFD"]):
    """Strictly it is as the task has it: a program would look for that."""
    label = unicodedata.normalize("NFD", "Réclamation")
    asked = task(FieldKind.CHOICE, label)
    said = json.dumps({"tags": unicodedata.normalize(form, label)})
    reading = get_format("json", asked).parse(asked, said)
    assert isinstance(reading.lenient, Prediction)
    assert reading.lenient.fields["tags"] == label
    assert isinstance(reading.strict, Prediction) == (form == "NFD")


def test_two_labels_that_differ_by_their_composition_alone():
    both = [unicodedata.normalize(form, "\u1e9b\u0323") for form in ("NFC", "NFD")]
    values = tuple(FieldValue(value=value, description="...") for value in both)
    field = Field(kind=FieldKind.CHOICE, title="...", paths=("x",), values=values)
    asked = task(FieldKind.CHOICE, "other").model_copy(update={"fields": {"tags": field}})
    for label in both:
        reading = get_format("json", asked).parse(asked, json.dumps({"tags": label}))
        assert isinstance(reading.strict, Prediction)
        assert reading.strict.fields["tags"] == label
