"""Groups of rows that are near-duplicates of each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def group_members(groups: Sequence[int] | None, n: int) -> list[list[int]] | None:
    """Return the rows of each group, in order of first appearance; None where all are alone.

    Args:
        groups: a group number per row, or None where every row stands alone.
        n: number of rows.

    Raises:
        ValueError: there is not one number per row.
    """
    if groups is None:
        return None
    if len(groups) != n:
        raise ValueError(f"{len(groups)} group numbers for {n} rows")
    members: dict[int, list[int]] = {}
    for row, group in enumerate(groups):
        members.setdefault(group, []).append(row)
    return list(members.values()) if len(members) < n else None


def typical_size(members: Sequence[Sequence[int]]) -> float:
    """Return the mean over rows of the size of their group: the sum of m² over that of m."""
    return sum(len(rows) ** 2 for rows in members) / sum(map(len, members))


def pick_groups(groups: Sequence[int] | None, rows: Sequence[int], n: int) -> list[int] | None:
    """Return the group numbers of some of n rows.

    Raises `ValueError` where there is not one number per row.
    """
    if groups is None:
        return None
    if len(groups) != n:
        raise ValueError(f"{len(groups)} group numbers for {n} rows")
    return [groups[row] for row in rows]


def content_order(
    keys: Sequence[Any], groups: Sequence[int] | None
) -> tuple[list[int], list[int] | None]:
    """Return rows in an order that depends on their keys and their grouping alone.

    So the order in which rows come does not reach a bootstrap.

    Args:
        keys: what tells rows apart, one per row; keys can be ordered.
        groups: a group number per row, or None.

    Returns:
        The row numbers in that order, group by group, and the rows' new group numbers; None
        where all rows are alone.
    """
    members = group_members(groups, len(keys))
    if members is None:
        return sorted(range(len(keys)), key=keys.__getitem__), None
    inside = [sorted(rows, key=keys.__getitem__) for rows in members]
    together = sorted(inside, key=lambda rows: [keys[row] for row in rows])
    numbers = [number for number, rows in enumerate(together) for _ in rows]
    return [row for rows in together for row in rows], numbers
