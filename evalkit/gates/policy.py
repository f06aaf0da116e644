"""The release criteria: `gates.toml`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, RootModel, model_validator

from evalkit.errors import UserError, did_you_mean
from evalkit.toml_files import parse_toml

Bound = Annotated[float, Field(ge=-1, le=10)]
"""Shares are between 0 and 1, whatever tables show; a mean of levels may lie above."""


class Policy(BaseModel):
    """One release criterion: a table of `gates.toml`."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    min_value: Bound | None = None
    """The estimate must not be below this."""
    max_value: Bound | None = None
    """The estimate must not be above this."""
    min_difference: Bound | None = None
    """The advantage over another system must be shown to be above this, by a paired test."""
    min_cases: Annotated[int, Field(ge=1)] = 100
    """With fewer cases the verdict is inconclusive, whatever the value."""
    task: str | None = None
    """The family of tasks that the criterion applies to; all by default."""
    needs: tuple[Literal["live", "language_model", "adapter", "free_decoding"], ...] = ()
    """What a system must be for the criterion to apply: see `System.abilities`."""
    why: str
    """The reason for the threshold, with its source."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        bounds = (self.min_value, self.max_value, self.min_difference)
        if sum(bound is not None for bound in bounds) != 1:
            raise ValueError("give one of min_value, max_value and min_difference")
        return self

    @property
    def threshold(self) -> float:
        """The bound, whichever it is."""
        bounds = (self.min_value, self.max_value, self.min_difference)
        (bound,) = (bound for bound in bounds if bound is not None)
        return bound

    def holds(self, value: float) -> bool:
        """Whether a number is on the right side."""
        if self.max_value is not None:
            return value <= self.max_value
        if self.min_value is not None:
            return value >= self.min_value
        return value > self.threshold


class _GatesFile(RootModel[dict[str, Policy]]):
    """A whole `gates.toml`."""


def load_policies(path: Path) -> dict[str, Policy]:
    """Read `gates.toml`.

    Raises:
        UserError: there is none, or a criterion in it is not valid.
    """
    if not path.is_file():
        raise UserError(
            f"There is no {path}. It holds the release criteria, such as\n"
            '  [priority_accuracy]\n  min_value = 0.80\n  why = "..."'
        )
    return parse_toml(_GatesFile, path).root


def find_policy(policies: Mapping[str, Policy], gate: str, path: Path) -> Policy:
    """The criterion of that name.

    Raises:
        UserError: there is none.
    """
    if gate not in policies:
        raise UserError(
            f"There is no gate '{gate}' in {path}.{did_you_mean(gate, policies)} "
            f"Add a table [{gate}] with min_value or max_value and why."
        )
    return policies[gate]


def policies_sha256(policies: Mapping[str, Policy]) -> str:
    """Hash the criteria; comments and order in the file do not count. Hexadecimal."""
    content = {name: policy.model_dump(mode="json") for name, policy in policies.items()}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
