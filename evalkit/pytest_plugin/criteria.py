"""The criteria of a session: what the gates.toml of each suite says, and what is odd about it."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UserError, did_you_mean
from evalkit.gates import load_policies, lowered_tiers
from evalkit.gates.sealing import breach, read_seal, seal_of, sealed_before
from evalkit.locale import say
from evalkit.pytest_plugin.marks import check_family
from evalkit.systems import shown_path

if TYPE_CHECKING:
    import pytest

    from evalkit.gates import Policy
    from evalkit.run_record import RunRecord
    from evalkit.tasks import Task


class Criteria:
    """The criteria of the suites that were collected; each file is read once."""

    def __init__(self, config: pytest.Config) -> None:
        self.config = config
        self.by_file: dict[Path, dict[str, Policy]] = {}

    def of(self, suite: Path) -> tuple[Path, dict[str, Policy]]:
        """The gates.toml that belongs to a suite, and what it says."""
        named = self.config.getoption("gates")
        path = Path(named) if named else gates_of(suite)
        if path not in self.by_file:
            self.by_file[path] = load_policies(path)
        return path, self.by_file[path]

    @property
    def all(self) -> dict[str, Policy]:
        """Those of all suites, by name."""
        return {name: p for found in self.by_file.values() for name, p in found.items()}

    def check(self, asked: Mapping[Path, Collection[str]], tasks: Collection[Task]) -> None:
        """Read the criteria, and refuse what in them can only be a slip.

        Args:
            asked: suite -> the names of criteria that its tests ask for.
            tasks: those of the systems under test.

        Raises:
            UserError: a criterion is not valid, its name is nearly what a suite asks for, or two
                files mean two things by it.
        """
        for suite in asked:
            read_seal(self._sealed(suite))  # what is no seal is said before anything answers
        everywhere = {name for names in asked.values() for name in names}
        for suite, names in asked.items():
            path, policies = self.of(suite)
            for name in sorted(set(names) - policies.keys()):
                if guess := did_you_mean(name, policies.keys() - everywhere):
                    raise UserError(
                        f"{path}: {suite.name} asks for [{name}], which is not there.{guess}"
                    )
        self._check_names()
        for path, policies in self.by_file.items():
            for name, policy in policies.items():
                if policy.task is not None:
                    check_family(policy.task, f"{path}: [{name}]", tasks, self.config.rootpath)

    def _check_names(self) -> None:
        """Refuse one name for two criteria: what one of them says would count for the other."""
        first: dict[str, tuple[Path, Policy]] = {}
        for path, policies in self.by_file.items():
            for name, policy in policies.items():
                other, known = first.setdefault(name, (path, policy))
                if known.model_copy(update={"why": policy.why}) != policy:
                    raise UserError(
                        f"[{name}] is one criterion in {shown_path(other)} and another in "
                        f"{shown_path(path)}. Rename one of them, or judge each folder by itself."
                    )

    def breaches(self, suites: Iterable[Path]) -> list[str]:
        """Where criteria are looser than those that were sealed, be they of another file."""
        own = {self._sealed(suite): self.of(suite)[1] for suite in sorted(suites)}
        found = (breach(path, now) for path, now in {**own, **self.by_file}.items())
        return [why for why in found if why]

    def _sealed(self, suite: Path) -> Path:
        """The nearest gates.toml with a seal: a file between it and the suite puts none aside."""
        above = [f / "gates.toml" for f in suite.parents if f.is_relative_to(self.config.rootpath)]
        return next((path for path in above if seal_of(path).is_file()), gates_of(suite))

    def caveats(self, tiers_before: Mapping[str, str] | None) -> list[str]:
        """What is to be known of the criteria.

        Args:
            tiers_before: the tiers of the run that `--against` names; None where they are unknown.
        """
        option, found = self.config.getoption, self._lowered(tiers_before)
        if empty := [name for name, policy in self.all.items() if policy.is_empty]:
            found.append(say("note.criteria_that_cannot_fail", names=", ".join(empty)))
        if named_by := where_gates_are_named(self.config):
            found.append(say("note.criteria_named", file=option("gates"), by=named_by))
        return found

    def _lowered(self, before: Mapping[str, str] | None) -> list[str]:
        """Which criteria block less than they did for the run that `--against` names."""
        named = self.config.getoption("against")
        if before is None:
            return [say("note.tiers_unknown", baseline=named)]
        return [
            say("note.tier_lowered", baseline=named, gate=gate, before=was, now=now)
            for gate, (was, now) in lowered_tiers(before, self.all).items()
        ]

    def seals(self, record: RunRecord) -> dict[str | None, str]:
        """Since when the criteria were sealed, and what to say of it; empty where none is.

        Where they are in several files, the one whose seal is missing or broken is told.
        """
        found = [sealed_before(path, record) for path in self.by_file]
        told = sorted((when or "", note) for when, note in found if note is not None)
        if not told:
            return {}
        when, note = told[0]
        whole = len(told) == len(found)
        return {when if whole and when else None: note}


def gates_of(suite: Path) -> Path:
    """The gates.toml beside a suite, or the nearest above it."""
    above = [folder / "gates.toml" for folder in suite.parents]
    return next((path for path in above if path.is_file()), suite.parent / "gates.toml")


def where_gates_are_named(config: pytest.Config) -> str:
    """What names the criteria's file besides the command line; empty where nothing does."""
    typed = [str(argument) for argument in config.invocation_params.args]
    if not config.getoption("gates") or any(a.partition("=")[0] == "--gates" for a in typed):
        return ""
    in_environment = "--gates" in os.environ.get("PYTEST_ADDOPTS", "")
    return "PYTEST_ADDOPTS in the environment" if in_environment else "pytest's addopts"
