"""What rows are like."""

import pytest

from evalkit.data.describing import Lengths, survey
from evalkit.data.overlap import Kind
from evalkit.data.quality import Rule
from evalkit.errors import UserError


def test_labels_lengths_scripts_and_duplicates(write):
    path = write(
        {"prompt": "pay my bill", "output": ["payment"]},
        {"prompt": "Pay my bill!", "output": ["payment", "user_auth"]},
        {"prompt": "支付", "output": ["payment"]},
        {"prompt": "42", "output": ["none"]},
        {"prompt": "sign in"},
        "{",
    )
    found = survey(path)
    assert found.rows == 4
    assert found.labels["intents"]["payment"] == 3
    assert found.labels["intents"]["inventory"] == 0
    assert found.sets["intents"] == {1: 3, 2: 1}
    assert found.lengths["prompt"] == Lengths(2, 2, 12, 12)
    assert found.scripts == {"Latin": 2, "Chinese": 1, "no known script": 1}
    assert found.no_examples == {Rule.NO_LABEL: 1, Rule.UNREADABLE: 1}
    assert found.low_quality == {Rule.NO_WORDS: 1}
    (group,) = found.duplicates.of(Kind.NORMALISED)
    assert (group.positions, group.labels_differ) == ((0, 1), True)


def test_parquet_is_read_as_a_whole(tmp_path, row):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([row(1), row(2, priority=5)]), path)
    found = survey(str(path))
    assert (found.task.name, found.rows) == ("notifications-5level", 2)


def test_no_example_at_all(write):
    path = write({"prompt": "pay"})
    with pytest.raises(UserError, match=r"no example of task 'intents'.*:1: field 'intents'"):
        survey(path, "intents")
