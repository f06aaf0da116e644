"""Where in a training a row stands: in which epoch, and in a micro-batch of what kind."""

from __future__ import annotations

from enum import StrEnum
from typing import NamedTuple

PAIR = "pair"
"""The tag of an example that names the minimal pair it is of."""


class Kind(StrEnum):
    """What the list of values of a micro-batch is made of."""

    OWN = "own"
    """The task's own values, changed or not."""
    TOPICS = "topics"
    """Nothing but topics."""
    BESIDE = "beside"
    """The task's own values and a topic or two."""


class Space(NamedTuple):
    """What the rows of a micro-batch were chosen for."""

    kind: Kind = Kind.OWN
    topics: tuple[str, ...] = ()
    """Those whose rows are labelled with them."""


OWN = Space()


class Place(NamedTuple):
    """One row, once."""

    row: int
    """Which of the rows."""
    epoch: int = 0
    space: Space = OWN
