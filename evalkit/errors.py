"""The errors evalkit raises on purpose."""

from __future__ import annotations

import difflib
import errno
from collections.abc import Iterable, Mapping


class EvalkitError(Exception):
    """Base of evalkit's own errors."""


class UserError(EvalkitError):
    """Something the user can mend. Shown as one message, without a traceback (exit code 4).

    The message says what is wrong, where, and what to do next.
    """

    @property
    def message(self) -> str:
        """As it was raised: a `Note` stays one, which `str` of an exception would not keep."""
        return self.args[0] if self.args and isinstance(self.args[0], str) else str(self)


class EvidenceError(UserError):
    """A stored run that is not what it says it is, or not what is asked for."""


class InsufficientData(EvalkitError):  # noqa: N818 (names what there is, not a fault)
    """An estimate was asked of no data."""


class DoesNotApply(EvalkitError):  # noqa: N818 (names what is so, not a fault)
    """A suite's question makes no sense for this system or task: nothing is held against it.

    The message says why, and is beside the verdict.
    """


_PERMISSION = "Change its permissions, or give another place (results: --runs DIR)"
_SPACE = "Free some space, or give another place (results: --runs DIR)"
_ADVICE = {
    errno.EACCES: _PERMISSION,
    errno.EPERM: _PERMISSION,
    errno.EROFS: _PERMISSION,
    errno.ENOSPC: _SPACE,
    errno.EDQUOT: _SPACE,
    errno.ENOTDIR: "A part of this path is a file: name a folder",
    errno.EEXIST: "Something else is there already: give another name",
    errno.ENAMETOOLONG: "Give it a shorter name",
}


def fault_of_the_machine(error: BaseException) -> str | None:
    """What the user can do about a disk that is full, or a place that may not be written.

    None for any other error, which is a fault of this program.
    """
    if not isinstance(error, OSError) or error.errno not in _ADVICE:
        return None
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror}. {_ADVICE[error.errno]}."


def did_you_mean(
    name: str, known: Iterable[str], other_names: Mapping[str, str] | None = None
) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or an empty string.

    `other_names` are compared as well: a name -> the known one that it stands for.
    """
    others = other_names or {}
    near = difflib.get_close_matches(name, [*known, *others], n=1, cutoff=0.6)
    return f" Did you mean '{others.get(near[0], near[0])}'?" if near else ""
