"""What goes by a name and can be added to: evalkit's own, and what other packages bring.

Both are entry points, `module:attribute`, and are loaded when they are first asked for. A package
adds to a registry by an entry point of its group (docs/extending.md).
"""

from __future__ import annotations

import hashlib
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from importlib.metadata import EntryPoint, distributions
from pathlib import Path
from typing import Any, Generic, TypeVar

from evalkit.errors import UserError, did_you_mean

T = TypeVar("T")
PREFIX = "evalkit."
"""How the names of all groups begin."""


class Registry(Mapping[str, T], Generic[T]):
    """Names of one kind, evalkit's own first. A name that is taken is never given twice."""

    def __init__(
        self, kind: str, own: Mapping[str, str | T], read: Callable[[str, Any], T | None]
    ) -> None:
        """Take what is there; nothing is loaded yet.

        Args:
            kind: what goes by these names, in the plural, as the group is called: `formats`.
            own: evalkit's own, as they are or as `module:attribute`.
            read: makes an entry of a name and of what was loaded for it; None where that is of
                another kind.
        """
        self.kind = kind
        self.own = own
        self._read = read
        self._loaded: dict[EntryPoint, T] = {}

    def __getitem__(self, name: str) -> T:
        added = self.added  # refuses another package's claim to one of our names
        if name in self.own:
            own = self.own[name]
            if not isinstance(own, str):
                return own
            point = EntryPoint(name, own, self.group)
        else:
            point = added[name]
        if point not in self._loaded:
            self._loaded[point] = self._load(point)
        return self._loaded[point]

    def __iter__(self) -> Iterator[str]:
        yield from self.own
        yield from self.added

    def __len__(self) -> int:
        return len(self.own) + len(self.added)

    def __contains__(self, name: object) -> bool:
        return name in self.own or name in self.added

    @property
    def noun(self) -> str:
        """What one of them is called."""
        return self.kind.removesuffix("s").replace("_", " ")

    @property
    def group(self) -> str:
        """The group of its entry points."""
        return PREFIX + self.kind

    @property
    def added(self) -> Mapping[str, EntryPoint]:
        """What other packages bring, by name.

        Raises:
            UserError: two packages bring the same name, or one brings a name of evalkit's own.
        """
        found: dict[str, EntryPoint] = {}
        for point in _plugins(self.group):
            if point.name in self.own or point.name in found:
                other = _package(found[point.name]) if point.name in found else "evalkit"
                raise UserError(
                    f"{_package(point)} brings the {self.noun} '{point.name}', and {other} has one "
                    "of that name. "
                    "Uninstall one of them, or have its author choose another name."
                )
            found[point.name] = point
        return found

    def find(self, name: str) -> T:
        """What goes by a name.

        Raises:
            UserError: there is no such name, or what a package brings cannot be loaded.
        """
        if name not in self:
            raise UserError(
                f"There is no {self.noun} '{name}'.{did_you_mean(name, self)} "
                f"{self.kind.replace('_', ' ').capitalize()}: {', '.join(self)}."
            )
        return self[name]

    def plugin_sha256(self, name: str) -> str:
        """The hash of another package's module that a name is loaded from; "" for evalkit's own."""
        if name in self.own:
            return ""
        file = sys.modules[self.added[name].module].__file__ if self[name] else None
        return hashlib.sha256(Path(file).read_bytes()).hexdigest() if file else ""

    def _load(self, point: EntryPoint) -> T:
        if point.name in self.own:
            found = self._read(point.name, point.load())
            assert found is not None
            return found
        whose = f"The {self.noun} '{point.name}' of {_package(point)} ({point.value})"
        try:
            loaded = point.load()
            found = self._read(point.name, loaded)
        except Exception as error:
            why = f"{type(error).__name__}: {error}"
            raise UserError(f"{whose} cannot be loaded: {why}. Mend or uninstall it.") from error
        if found is None:
            raise UserError(
                f"{whose} is a {type(loaded).__name__} and no {self.noun}. See docs/extending.md."
            )
        return found


def plugin_versions() -> dict[str, str]:
    """Each package that adds something to evalkit, and its version."""
    found = [point.dist for _, points in sorted(_all_plugins().items()) for point in points]
    return {dist.name: dist.version for dist in found if dist is not None}


def _plugins(group: str) -> Sequence[EntryPoint]:
    return _all_plugins().get(group, ())


@cache
def _all_plugins() -> Mapping[str, Sequence[EntryPoint]]:
    # One look into every installed package, for all registries. The first of a name is the one
    # that is imported.
    found = {dist.name: dist for dist in reversed(list(distributions()))}
    points = [point for dist in found.values() for point in dist.entry_points]
    groups = {point.group for point in points if point.group.startswith(PREFIX)}
    by_name = sorted(points, key=lambda point: point.name)
    return {name: [point for point in by_name if point.group == name] for name in groups}


def _package(point: EntryPoint) -> str:
    return f"the package {point.dist.name} {point.dist.version}" if point.dist else point.value
