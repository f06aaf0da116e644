"""Which scale the labels are on."""

from collections import Counter

import pytest

from evalkit.data import load_dataset
from evalkit.data.mappings import choose_schemes
from evalkit.errors import UserError
from evalkit.tasks import Field, Task


def priorities(dataset):
    return [example.labels["priority"] for example in dataset.examples]


def rows_with(row, levels):
    return [row(number, priority=level) for number, level in enumerate(levels)]


def with_schemes(task: Task, **schemes) -> Task:
    fields = {**task.fields}
    priority = fields["priority"].model_dump() | {"mappings": schemes}
    fields["priority"] = Field.model_validate(priority)
    return task.model_copy(update={"fields": fields})


def test_levels_outside_the_fields_own_show_the_scheme(write, row, three_levels):
    dataset = load_dataset(write(*rows_with(row, [1, 2, 3, 4, 5])), three_levels)
    assert priorities(dataset) == [1, 1, 2, 3, 3]
    assert dataset.label_mappings == {"priority": "five-level"}
    (note,) = dataset.notes
    assert note.code == "note.mapped"
    said = ("priority", "five-level", 3, 2, 5, "1-3")
    assert tuple(note.params[k] for k in ("field", "scheme", "n", "outside", "all", "span")) == said


def test_levels_of_the_fields_own_stay_and_the_reading_is_said(write, row, three_levels):
    dataset = load_dataset(write(*rows_with(row, [1, 2, 3])), three_levels)
    assert priorities(dataset) == [1, 2, 3]
    assert dataset.label_mappings == {}
    (note,) = dataset.notes
    assert note.code == "note.not_mapped"
    assert "--mapping five-level" in note


def test_the_whole_file_decides_before_the_limit(write, row, three_levels):
    dataset = load_dataset(write(*rows_with(row, [2, 3, 5])), three_levels, limit=2)
    assert priorities(dataset) == [1, 2]
    assert dataset.notes[-1].endswith("only the first 2 of 3 rows used, as asked")


def test_a_task_without_mappings_has_nothing_to_say(write, row, five_levels):
    dataset = load_dataset(write(*rows_with(row, [1, 5])), five_levels)
    assert (priorities(dataset), dataset.label_mappings, dataset.notes) == ([1, 5], {}, ())


def test_a_scheme_can_be_forced(write, row, three_levels):
    dataset = load_dataset(write(*rows_with(row, [1, 2, 3])), three_levels, mapping="five-level")
    assert priorities(dataset) == [1, 1, 2]
    (note,) = dataset.notes
    assert note.code == "note.mapped_as_asked"
    assert note.params == {"field": "priority", "scheme": "five-level", "n": 3}


def test_none_maps_nothing_and_says_what_would(write, row, three_levels):
    source = write(*rows_with(row, [1, 4]))
    with pytest.raises(UserError, match=r"4 is not one of 1, 2, 3\. It is one of the 'five-level'"):
        load_dataset(source, three_levels, mapping="none")


def test_a_value_that_no_scheme_knows_is_a_bad_row(write, row, three_levels):
    source = write(*rows_with(row, [1, 4, 9]))
    with pytest.raises(UserError, match=":3: field 'priority': 9 is not a value of the 'five-lev"):
        load_dataset(source, three_levels)
    assert priorities(load_dataset(source, three_levels, on_bad_row="skip")) == [1, 3]
    source = write(*rows_with(row, [1, 9]))
    dataset = load_dataset(source, three_levels, on_bad_row="skip")
    assert (priorities(dataset), dataset.label_mappings) == ([1], {})
    assert dataset.notes[0] == "priority: read as it is; no mapping knows the 1 outside 1-3"


def test_very_few_values_outside_may_be_slips(write, row, three_levels):
    dataset = load_dataset(write(*rows_with(row, [*[1] * 200, 5])), three_levels)
    assert dataset.notes[0].code == "note.mapped_few"
    assert "--mapping none" in dataset.notes[0]


def test_unknown_schemes_are_named(write, row, three_levels):
    with pytest.raises(UserError, match=r"'five-levle'\. Did you mean 'five-level'"):
        load_dataset(write(row()), three_levels, mapping="five-levle")


def test_the_scheme_that_covers_most_rows_wins(write, row, three_levels):
    task = with_schemes(
        three_levels, words={"low": 1, "mid": 2, "high": 3}, capitals={"LOW": 1, "high": 3}
    )
    dataset = load_dataset(write(*rows_with(row, ["low", "mid", "high"])), task)
    assert (priorities(dataset), dataset.label_mappings) == ([1, 2, 3], {"priority": "words"})
    with pytest.raises(UserError, match="fit the mappings words and capitals equally well"):
        load_dataset(write(*rows_with(row, ["high"])), task)


def test_digits_in_csv_are_levels(write, three_levels):
    source = write("app,title,body,folder,priority", "a,b,c,Work,4", name="rows.csv")
    assert priorities(load_dataset(source, three_levels)) == [3]


def test_class_numbers_of_a_choice(write, row, three_levels):
    folder = three_levels.fields["folder"].model_dump() | {
        "mappings": {"numbers": {"0": "Work", "1": "Personal"}}
    }
    fields = {**three_levels.fields, "folder": Field.model_validate(folder)}
    task = three_levels.model_copy(update={"fields": fields})
    dataset = load_dataset(write(row(1, folder=0), row(2, folder=1)), task)
    assert [example.labels["folder"] for example in dataset.examples] == ["Work", "Personal"]


def test_a_forced_scheme_leaves_other_fields_to_auto(three_levels):
    folder = three_levels.fields["folder"].model_dump() | {"mappings": {"short": {"W": "Work"}}}
    fields = {**three_levels.fields, "folder": Field.model_validate(folder)}
    task = three_levels.model_copy(update={"fields": fields})
    schemes, _ = choose_schemes(task, "five-level", lambda _: Counter({"W": 3}))
    assert schemes == {"folder": "short", "priority": "five-level"}
