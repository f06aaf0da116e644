"""What makes a row an example, and what is said of rows that are none."""

import unicodedata

import pytest

from evalkit.data import load_dataset
from evalkit.errors import UserError
from evalkit.tasks import Task


def fault(source, task):
    """Return what is said of the first bad row, without where."""
    with pytest.raises(UserError) as caught:
        load_dataset(source, task)
    return str(caught.value).removeprefix(f"{source}:1: ")


def without(row, part, key):
    return {**row, part: {k: v for k, v in row[part].items() if k != key}}


def test_inputs_and_labels_in_the_tasks_order(write, row, three_levels):
    (example,) = load_dataset(write(row(7, "Alerts", 3)), three_levels).examples
    assert example.id == "n7"
    assert list(example.inputs.items()) == [
        ("app_name", "Slack"),
        ("title", "#dev"),
        ("body", "Hello"),
    ]
    assert list(example.labels.items()) == [("folder", "Alerts"), ("priority", 3)]


@pytest.mark.parametrize("display", [None, "absent"])
def test_the_first_path_that_is_there_and_not_null_counts(write, row, three_levels, display):
    content = row(app_display_name=None)
    if display == "absent":
        content = without(content, "notification", "app_display_name")
    (example,) = load_dataset(write(content), three_levels).examples
    assert example.inputs["app_name"] == "com.slack"


def test_flat_names_are_whole_paths_in_json_lines(write, three_levels):
    flat = {
        "notification.app": "a",
        "notification.title": "b",
        "notification.body": "c",
        "classification.folder": "Work",
        "classification.priority": 2,
    }
    assert load_dataset(write(flat), three_levels).examples[0].id == "row-000001"
    short = {key.split(".")[1]: value for key, value in flat.items()}
    assert "nothing at 'notification.app_display_name'" in fault(write(short), three_levels)


def test_a_missing_label_lists_paths_and_keys(write, row, three_levels):
    said = fault(write(without(row(), "classification", "folder")), three_levels)
    assert said.startswith("field 'folder': nothing at 'classification.folder'; the row has id, ")
    assert "notification.title" in said
    assert "Did you mean" not in said


def test_a_misspelt_key_is_named(write, row, three_levels):
    content = without(without(row(), "notification", "app_display_name"), "notification", "app")
    content["notification"]["app_displayname"] = "Slack"
    said = fault(write(content), three_levels)
    assert "nothing at 'notification.app_display_name' or 'notification.app'" in said
    assert "Did you mean 'notification.app_display_name' by 'notification.app_displayname'?" in said


def test_a_misplaced_key_is_named(write, row, three_levels):
    content = row()
    content["notification"]["classification"] = content.pop("classification")
    near = "Did you mean 'classification.folder' by 'notification.classification.folder'?"
    assert near in fault(write(content), three_levels)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"priority": 2.5}, "2.5 is a fraction. Write a whole number."),
        ({"priority": "2.5"}, "'2.5' is not one of 1, 2, 3."),
        ({"priority": True}, "True is true or false. Write a whole number."),
        ({"priority": "high"}, "'high' is not one of 1, 2, 3."),
        ({"priority": None}, "nothing at 'classification.priority'"),
        ({"folder": 2}, "2 is not one of Work, Personal, Promotions, Alerts."),
        ({"folder": ["Work"]}, "['Work'] is a list, not text."),
        ({"folder": "work"}, "'work' is not one of Work, Personal, Promotions, Alerts. Did you"),
        ({"title": 5}, "input 'title': 5 is a whole number, not text."),
        ({"title": "\ud83d"}, "input 'title': half a character ('\\ud83d') at 1."),
        ({"app_display_name": " ", "title": "", "body": "\n"}, "every input (app_name, title,"),
    ],
)
def test_wrong_values(write, row, three_levels, change, why):
    assert why in fault(write(row(**change)), three_levels)


@pytest.mark.parametrize(
    ("output", "why"),
    [
        ("payment", "'payment' is text. Write a list."),
        ([], "an empty list"),
        (["none", "payment"], "'none' excludes all other values"),
        (["payments"], "'payments' is not one of"),
        ([["payment"]], "['payment'] is a list, not text"),
    ],
)
def test_wrong_sets(write, intents, output, why):
    assert why in fault(write({"prompt": "Pay", "output": output}), intents)


def test_sets_are_tuples_in_the_tasks_order_without_repeats(write, intents):
    source = write({"prompt": "x", "output": ["user_auth", "payment", "user_auth"]})
    assert load_dataset(source, intents).examples[0].labels["intents"] == ("payment", "user_auth")


def test_control_characters_do_not_reach_the_terminal(write, row, three_levels):
    said = fault(write(row(folder="\x1b[31mWork")), three_levels)
    assert said.isprintable()
    content = without(row(), "classification", "folder")
    content["classification"]["fol\x1b[2Jder"] = "Work"
    assert fault(write(content), three_levels).isprintable()


def test_ids(write, row, three_levels):
    source = write({**row(), "id": 17}, {**row(), "id": None}, {**row(), "id": " "})
    ids = [example.id for example in load_dataset(source, three_levels).examples]
    assert ids == ["17", "row-000002", "row-000003"]
    assert "id: True is true or false" in fault(write({**row(), "id": True}), three_levels)


def test_rows_of_one_id_are_numbered_and_a_note_says_so(write, row, three_levels):
    """Published data have them; nothing rests on the id."""
    again = {**row(2), "id": "n1#2"}
    source = write(row(1), row(2), row(1), again, row(1))
    dataset = load_dataset(source, three_levels)
    assert [row.id for row in dataset.examples] == ["n1", "n2", "n1#3", "n1#2", "n1#4"]
    (note,) = [note for note in dataset.notes if "id" in note and "numbered" in note]
    assert "ids that occur more than once are numbered, as in id#2 (2)" in note
    assert load_dataset(write(row(1)), three_levels).examples[0].id == "n1"


@pytest.mark.parametrize("priority", [3, 3.0, "3", "3.0", "+3"])
def test_a_level_may_be_written_as_tables_write_it(write, row, three_levels, priority):
    (example,) = load_dataset(write(row(priority=priority)), three_levels).examples
    assert (example.labels["priority"], type(example.labels["priority"])) == (3, int)


def queue_task(*values, kind="choice"):
    """A field with these values."""
    return Task.model_validate(
        {
            "name": "t",
            "family": "t",
            "summary": "x",
            "instruction": "Sort.",
            "inputs": {"text": {"title": "Text", "paths": ["text"]}},
            "fields": {
                "label": {
                    "kind": kind,
                    "title": "Labels",
                    "paths": ["label"],
                    "values": [{"value": value, "description": "d"} for value in values],
                }
            },
        }
    )


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("written", ["NFC", "NFD"])
def test_how_an_accent_is_encoded_does_not_change_a_label(write, form, written):
    own, said = (unicodedata.normalize(f, "café") for f in (form, written))
    source = write({"text": "x", "label": said})
    (example,) = load_dataset(source, queue_task(own, "tea")).examples
    assert example.labels["label"] == own
    (example,) = load_dataset(
        write({"text": "x", "label": [said]}), queue_task(own, "tea", kind="multi-label")
    ).examples
    assert example.labels["label"] == (own,)


@pytest.mark.parametrize("label", [1, 1.0, "1"])
def test_a_number_is_the_value_that_is_its_digits(write, label):
    (example,) = load_dataset(write({"text": "x", "label": label}), queue_task("1", "2")).examples
    assert example.labels["label"] == "1"


CHATS = [
    {"messages": [{"role": "user", "content": "late?"}, {"role": "assistant", "content": "yes"}]},
    {"conversations": [{"from": "human", "value": "late?"}, {"from": "gpt", "value": "yes"}]},
    {"instruction": "Sort.", "input": "late?", "output": '{"label": "yes"}'},
]
BY_INDEX = (
    ["messages.0.content", "conversations.0.value", "input"],
    ["messages.-1.content", "conversations.1.value", "output.label"],
)
BY_ROLE = (
    ["messages.user.content", "conversations.human.value", "input"],
    ["messages.assistant.content", "conversations.gpt.value", "output.label"],
)


@pytest.mark.parametrize("chat", CHATS)
@pytest.mark.parametrize("paths", [BY_INDEX, BY_ROLE])
def test_training_formats_are_read_by_index_role_and_through_json(write, chat, paths):
    content = queue_task("yes", "no").model_dump()
    content["inputs"]["text"]["paths"], content["fields"]["label"]["paths"] = paths
    (example,) = load_dataset(write(chat), Task.model_validate(content)).examples
    assert (example.inputs, example.labels) == ({"text": "late?"}, {"label": "yes"})


def test_what_a_path_does_not_lead_to_is_named_with_what_is_there(write):
    content = queue_task("yes", "no").model_dump()
    content["fields"]["label"]["paths"] = ["messages.2.content"]
    content["inputs"]["text"]["paths"] = ["messages.0.content"]
    said = fault(write(CHATS[0]), Task.model_validate(content))
    assert "nothing at 'messages.2.content'" in said
    assert "messages.1.content" in said


def pair_task(optional=False):
    """Two inputs whose paths end alike."""
    value = {"description": "x"}
    return Task.model_validate(
        {
            "name": "pairs",
            "family": "pairs",
            "summary": "x",
            "instruction": "x",
            "inputs": {
                "question": {"title": "Q", "paths": ["question.text"]},
                "answer": {"title": "A", "paths": ["answer.text"], "optional": optional},
            },
            "fields": {
                "verdict": {
                    "kind": "choice",
                    "title": "V",
                    "paths": ["verdict"],
                    "values": [{"value": "yes", **value}, {"value": "no", **value}],
                }
            },
        }
    )


def test_a_short_name_that_two_inputs_share_stands_for_neither(write):
    source = write("text,verdict", "hello,yes", name="rows.csv")
    with pytest.raises(UserError, match=r"input 'question': nothing at 'question\.text'"):
        load_dataset(source, pair_task())


def test_an_optional_input_may_be_left_out(write):
    source = write({"question": {"text": "Well?"}, "verdict": "no"})
    (example,) = load_dataset(source, pair_task(optional=True)).examples
    assert example.inputs == {"question": "Well?", "answer": ""}
