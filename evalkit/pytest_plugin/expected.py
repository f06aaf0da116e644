"""Which suite tests have to speak of each system, and which of them did not.

The list is made as pytest collects, before anything may leave a test out. docs/architecture.md,
decision 7: nothing passes by being left out.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.pytest_plugin.parameters import params
from evalkit.pytest_plugin.suite_files import SuiteTest, read_suite

if TYPE_CHECKING:
    from evalkit.pytest_plugin.run_cache import SystemUnderTest
    from evalkit.tasks import Field


@dataclass
class _Due:
    """A test that has to speak of a system, and what became of it."""

    item: pytest.Item
    unfit: str = ""
    """Why the system's capabilities rule it out, as its marks say."""
    withdrawn: str = ""
    """Why it found that it does not apply."""
    skipped: str = ""
    """Why it was skipped otherwise."""
    lacking: str = ""
    """What its number could not be made for want of."""
    passed: bool = False
    failed: bool = False

    def missed(self, spoke: bool) -> str:
        """Why there is no verdict of it that another place does not name; empty for none."""
        if self.unfit or self.withdrawn or self.failed:
            return ""
        if self.skipped:
            return f"skipped: {self.skipped}"
        if not self.passed:
            return "not run"
        silent = "gate" in getattr(self.item, "fixturenames", ()) and not spoke
        return "its gate said nothing" if silent else ""


class Expected:
    """Which suite tests have to speak of each system, and what became of them."""

    def __init__(self) -> None:
        self._due: dict[str, dict[str, _Due]] = {}
        """By system and node id."""
        self._files: dict[Path, tuple[SuiteTest, ...]] = {}
        self._collected: set[tuple[Path, str]] = set()

    def note(self, item: pytest.Item) -> None:
        """Take down that pytest has found a test, whatever it is for."""
        self._collected.add(_place(item))

    def add(self, item: pytest.Item, system: str, unfit: str) -> None:
        """Take down that a test is for a system, or why the system's capabilities rule it out."""
        self._due.setdefault(system, {})[item.nodeid] = _Due(item, unfit)

    def withdraw(self, system: str, nodeid: str, why: str) -> None:
        """Take down that a test found that it does not apply to a system."""
        if nodeid in self._due.get(system, {}):
            self._due[system][nodeid].withdrawn = why

    def leave_open(self, system: str, nodeid: str, why: str) -> None:
        """Take down that a test's number could not be made, for want of data."""
        if nodeid in self._due.get(system, {}):
            self._due[system][nodeid].lacking = why

    def is_left_open(self, system: str, nodeid: str) -> bool:
        """Whether that is why a test failed."""
        due = self._due.get(system, {}).get(nodeid)
        return due is not None and bool(due.lacking)

    def lacking(self, system: str, criteria: Collection[str]) -> dict[str, str]:
        """The tests whose numbers could not be made, named in the way of `missed`."""
        return self._named(system, criteria, lambda due: "" if due.passed else due.lacking)

    def report(self, system: str, report: pytest.TestReport) -> None:
        """Take down how a test went."""
        due = self._due.get(system, {}).get(report.nodeid)
        if due is None:
            return
        due.failed |= report.failed
        due.passed |= report.passed and report.when == "call"
        if report.skipped:
            said = report.longrepr[2] if isinstance(report.longrepr, tuple) else ""
            xfailed = getattr(report, "wasxfail", None)
            due.skipped = said.removeprefix("Skipped: ") if xfailed is None else f"xfail {xfailed}"

    def missed(
        self, system: str, spoke: Collection[str], criteria: Collection[str]
    ) -> dict[str, str]:
        """What was not judged, and why: `folder_recall[Work]`, or a test's own name.

        Args:
            system: its name.
            spoke: node ids of the tests in which a gate spoke.
            criteria: names of all criteria.
        """
        return self._named(system, criteria, lambda due: due.missed(due.item.nodeid in spoke))

    def unfit(self, system: str, criteria: Collection[str]) -> dict[str, str]:
        """What a system's capabilities rule out, by gates with their slices or tests' own names."""
        return self._named(system, criteria, lambda due: due.unfit)

    def withdrawn(self, system: str, criteria: Collection[str]) -> dict[str, str]:
        """What was found not to apply to a system, named in the same way."""
        return self._named(system, criteria, lambda due: due.withdrawn)

    def names(
        self, system: str, criteria: Collection[str], fields: Mapping[str, Field]
    ) -> dict[str, str]:
        """What people call gates of a field's values, by their labels: `recall[2]` is of medium."""
        found: dict[str, str] = {}
        for due in self._due.get(system, {}).values():
            mark, given = due.item.get_closest_marker("each_value"), params(due.item)
            field = fields.get(mark.args[0]) if mark else None
            if field is not None and "value" in given:
                named = given | {"value": field.display(given["value"])}
                keys, shown = (self._labels(due.item, criteria, of) for of in (given, named))
                found |= {key: name for key, name in zip(keys, shown, strict=True) if key != name}
        return found

    def uncollected(
        self, subject: SystemUnderTest, suites: Iterable[Path], criteria: Collection[str]
    ) -> dict[str, str]:
        """Tests that are in suite files, are for a system, and were never found by pytest."""
        found: dict[str, str] = {}
        for test in (test for path in suites for test in self._read(path)):
            if not test.is_hidden and (test.path, test.name) in self._collected:
                continue
            families = test.marked("task")
            needed = {what for mark in test.marked("needs") for what in mark}
            other_task = families and subject.task.family not in families[-1]
            if other_task or needed - subject.capabilities:
                continue
            names = test.labels(criteria, {}, f"{test.path.name}::{test.name}")
            why = "a later test of the same name hides it" if test.is_hidden else "not collected"
            found |= dict.fromkeys(names, why)
        return found

    def asked(self, suite: Path) -> set[str]:
        """The criteria that the tests of a file name in so many words."""
        calls = [call for test in self._read(suite) for call in test.calls if call.is_gate]
        return {name for call in calls for name in call.texts[:1]}

    @property
    def files(self) -> set[Path]:
        """The files of the tests that were added."""
        return {due.item.path for dues in self._due.values() for due in dues.values()}

    def _named(
        self, system: str, criteria: Collection[str], why: Callable[[_Due], str]
    ) -> dict[str, str]:
        """The tests of which there is something to say, by what they would have judged."""
        found: dict[str, str] = {}
        for due in self._due.get(system, {}).values():
            if said := why(due):
                found |= dict.fromkeys(self._labels(due.item, criteria, params(due.item)), said)
        return found

    def _labels(
        self, item: pytest.Item, criteria: Collection[str], given: Mapping[str, Any]
    ) -> list[str]:
        path, name = _place(item)
        tests = [test for test in self._read(path) if test.name == name]
        return tests[-1].labels(criteria, given, item.name) if tests else [item.name]

    def _read(self, path: Path) -> tuple[SuiteTest, ...]:
        if path not in self._files:
            self._files[path] = read_suite(path)
        return self._files[path]


def _place(item: pytest.Item) -> tuple[Path, str]:
    classes = [node.name for node in item.listchain() if isinstance(node, pytest.Class)]
    return item.path.resolve(), ".".join([*classes, getattr(item, "originalname", item.name)])
