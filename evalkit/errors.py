"""The errors evalkit raises on purpose."""

from __future__ import annotations

import difflib
import errno
import os
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
ELSEWHERE = "Name another place, or see to it that its folder is there and can be written to"
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


def fault_of_the_machine(error: BaseException, named: Iterable[str] = ()) -> str | None:
    """What the user can do about a disk that is full, or a place that may not be written.

    None for any other error, which is a fault of this program.

    Args:
        error: what was raised.
        named: the command line. Whatever is wrong with a path on it, the user can name another.
    """
    if not isinstance(error, OSError) or error.errno is None:
        return None
    advice = _ADVICE.get(error.errno)
    if advice is None and _is_named(error.filename, named):
        advice = ELSEWHERE
    place = f"{error.filename}: " if error.filename else ""
    return f"{place}{error.strerror}. {advice}." if advice else None


def _is_named(filename: object, named: Iterable[str]) -> bool:
    """Whether a path is one of those named, or a folder that one of them is to lie in."""
    if not isinstance(filename, str | os.PathLike):
        return False
    place = os.path.abspath(filename)  # noqa: PTH100 (as a path may be none that pathlib takes)
    given = [part for text in named for part in (text, text.partition("=")[2]) if part]
    wholes = [os.path.abspath(text) for text in given]  # noqa: PTH100
    return any(whole == place or whole.startswith(place + os.sep) for whole in wholes)


def did_you_mean(
    name: str, known: Iterable[str], other_names: Mapping[str, str] | None = None
) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or an empty string.

    `other_names` are compared as well: a name -> the known one that it stands for.
    """
    others = other_names or {}
    near = difflib.get_close_matches(name, [*known, *others], n=1, cutoff=0.6)
    return f" Did you mean '{others.get(near[0], near[0])}'?" if near else ""
