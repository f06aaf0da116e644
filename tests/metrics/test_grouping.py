"""Groups of near-duplicates: who is with whom."""

import pytest

from evalkit.metrics.grouping import content_order, group_members, pick_groups, typical_size


def test_rows_are_listed_by_group():
    assert group_members([7, 3, 7, 1], 4) == [[0, 2], [1], [3]]


@pytest.mark.parametrize("groups", [None, [], [5], [2, 0, 1]])
def test_rows_that_are_all_alone_have_no_groups(groups):
    assert group_members(groups, len(groups or "")) is None


def test_typical_size_is_that_of_a_row_and_not_of_a_group():
    assert typical_size([[0, 1, 2], [3]]) == (3 + 3 + 3 + 1) / 4


@pytest.mark.parametrize("call", [group_members, lambda groups, n: pick_groups(groups, [0], n)])
def test_there_is_a_number_for_each_row(call):
    with pytest.raises(ValueError, match="2 group numbers for 3 rows"):
        call([0, 1], 3)


def test_content_order_depends_on_neither_rows_nor_group_numbers():
    keys, groups = ["b", "a", "c", "a"], [4, 4, 9, 2]
    order, numbers = content_order(keys, groups)
    assert ([keys[row] for row in order], numbers) == (["a", "a", "b", "c"], [0, 1, 1, 2])
    moved, renumbered = [keys[row] for row in (3, 2, 1, 0)], [0, 1, 2, 2]
    other, same_numbers = content_order(moved, renumbered)
    assert [moved[row] for row in other] == [keys[row] for row in order]
    assert same_numbers == numbers
