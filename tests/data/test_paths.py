"""Where a value is in a row."""

import pytest

from evalkit.data.paths import locate, replaced
from evalkit.data.rows import row_reader


@pytest.mark.parametrize(
    ("content", "keys"),
    [
        ({"classification": {"folder": "Work"}}, ("classification", "folder")),
        ({"classification.folder": "Work"}, ("classification.folder",)),
        ({"folder": "Work"}, ("folder",)),
        ({"classification": {"folder": None}}, None),
        ({"classification": "Work"}, None),
    ],
)
def test_a_label_is_located_where_the_reader_finds_it(three_levels, content, keys):
    reader = row_reader(three_levels, is_table=True, is_text=False)
    assert locate(content, ["classification.folder"], reader) == keys
    if keys:
        assert reader.raw_label(content, "folder") == "Work"
        changed = replaced(content, keys, "Alerts")
        assert reader.raw_label(changed, "folder") == "Alerts"
        assert content != changed


def test_the_first_path_that_leads_to_something_counts(three_levels):
    paths = three_levels.inputs["app_name"].paths
    content = {"notification": {"app": "slack", "app_display_name": ""}}
    for is_text, found in ((False, "app_display_name"), (True, "app")):
        reader = row_reader(three_levels, is_table=is_text, is_text=is_text)
        assert locate(content, paths, reader) == ("notification", found)


def test_all_else_stays_in_order():
    row = {"a": 1, "b": {"c": 2, "d": 3}, "e": 4}
    changed = replaced(row, ("b", "c"), 9)
    assert changed == {"a": 1, "b": {"c": 9, "d": 3}, "e": 4}
    assert list(changed) == list(row)
    assert row["b"] == {"c": 2, "d": 3}
    assert replaced({}, ("x", "y"), 1) == {"x": {"y": 1}}
