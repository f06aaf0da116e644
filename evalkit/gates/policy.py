"""The release criteria: `gates.toml`."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AllowInfNan,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    RootModel,
    WithJsonSchema,
    model_validator,
)

from evalkit.errors import InsufficientData, UserError, did_you_mean
from evalkit.toml_files import parse_toml

GATES = Path("suites/gates.toml")
"""Where a project's criteria lie."""
BAD_ROWS = "bad_rows"
"""The criterion for rows that could not be read, which no suite holds a number against."""


def _read_bound(written: Any) -> float:
    """A bound as a number: `0.01` and `"1%"` are; a bare `1` might mean 1% or 100%."""
    if isinstance(written, str) and written.rstrip().endswith("%"):
        with suppress(ValueError):
            return float(written.rstrip().removesuffix("%")) / 100
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise ValueError(f'{written!r} is not a bound; write a number such as 0.8, or "80%"')
    if isinstance(written, int) and written != 0:
        percent = f'{written / 100:g} or "{written}%" for {written} percent'
        if abs(written) == 1:
            whole = f'{written}.0 or "{written}00%" for {written}00 percent'
        else:
            whole = f"{written}.0 with share = false for a number that is not a share"
        raise ValueError(f"a bare {written} can be read in two ways: write {percent}, or {whole}")
    return float(written)


Bound = Annotated[
    float,
    BeforeValidator(_read_bound),
    AllowInfNan(False),
    WithJsonSchema({"anyOf": [{"type": "number"}, {"type": "string", "pattern": r"%\s*$"}]}),
]
"""Shares are between 0 and 1, whatever tables show; other numbers may lie above."""


Tier = Literal["critical", "supporting", "advisory"]
TIERS: tuple[Tier, ...] = ("critical", "supporting", "advisory")
"""From what blocks a release down to what is good to know."""


BOUNDS = ("min_value", "max_value", "min_difference", "min_relative_difference")
DIFFERENCES = BOUNDS[2:]


class Policy(BaseModel):
    """One release criterion: a table of `gates.toml`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={
            "oneOf": [
                {"required": ["min_value"]},
                {"required": ["max_value"]},
                {"anyOf": [{"required": [bound]} for bound in DIFFERENCES]},
            ]
        },
    )

    min_value: Bound | None = None
    """The estimate must not be below this."""
    max_value: Bound | None = None
    """The estimate must not be above this."""
    min_difference: Bound | None = None
    """The advantage over another system must be shown to be above this, by a paired test."""
    min_relative_difference: Bound | None = None
    """The same as a share of the other system's value: `-0.10` allows a relative loss of 10%.
    Beside `min_difference` it holds where the other's value is below `relative_below`."""
    relative_below: Bound | None = None
    """With both bounds on a difference: the other's value below which the relative one holds."""
    min_cases: Annotated[int, Field(ge=1)] = 100
    """With fewer independent cases the verdict is inconclusive, whatever the value. Rows that are
    near-duplicates of each other are one case."""
    tier: Tier = "critical"
    """`critical` blocks a release. `supporting` and `advisory` are judged alike, and the verdict
    lists apart what of them did not pass."""
    share: bool = True
    """False for a number that may lie outside 0 and 1, such as a mean of levels."""
    task: str | None = None
    """The family of tasks that the criterion applies to; all by default."""
    needs: tuple[Literal["live", "language_model", "adapter", "free_decoding"], ...] = ()
    """What a system must be for the criterion to apply: see `System.capabilities`."""
    why: str
    """The reason for the threshold, with its source."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        given = [bound for bound in BOUNDS if getattr(self, bound) is not None]
        if len(given) != 1 and given != [*DIFFERENCES]:
            raise ValueError(
                "give one of min_value, max_value and min_difference (or min_relative_difference)"
            )
        return self

    @property
    def is_empty(self) -> bool:
        """Whether no share can fail it."""
        return self.share and (self.min_value == 0 or self.max_value == 1)

    @property
    def compares(self) -> bool:
        """Whether it is a bound on a difference from another system."""
        return any(getattr(self, bound) is not None for bound in DIFFERENCES)

    def against(self, other: float) -> Policy:
        """The criterion with the bound that holds against a system with this value.

        `min_difference` is that bound then; `min_relative_difference` stays if it was made of it.

        Raises:
            InsufficientData: the bound is relative and the value 0.
        """
        relative, below = self.min_relative_difference, self.relative_below
        if relative is None:
            return self
        if below is not None and other >= below:
            return self.model_copy(update={"min_relative_difference": None})
        if other == 0:
            raise InsufficientData(
                "a relative bound says nothing where the other system's value is 0: give "
                "min_difference too, and relative_below"
            )
        return self.model_copy(update={"min_difference": relative * other})

    @property
    def blocks(self) -> bool:
        """Whether a release waits for it."""
        return self.tier == "critical"

    @property
    def threshold(self) -> float:
        """The bound, whichever it is; of two on a difference, the absolute one."""
        return next(float(b) for name in BOUNDS if (b := getattr(self, name)) is not None)

    def holds(self, value: float) -> bool:
        """Whether a number is on the right side."""
        if self.max_value is not None:
            return value <= self.max_value
        if self.min_value is not None:
            return value >= self.min_value
        return value > self.threshold


class GatesFile(RootModel[dict[str, Policy]]):
    """A whole `gates.toml`."""


def load_policies(path: Path) -> dict[str, Policy]:
    """Read `gates.toml`.

    Raises:
        UserError: there is none, or a criterion in it is not valid or cannot mean what it says.
    """
    if not path.is_file():
        raise UserError(
            f"There is no {path}. It holds the release criteria, such as\n"
            '  [priority_accuracy]\n  min_value = 0.80\n  why = "..."'
        )
    policies = parse_toml(GatesFile, path).root
    for name, policy in policies.items():
        if fault := _fault(name, policy):
            raise UserError(f"{path}: [{name}] {fault}")
    return policies


def _fault(name: str, policy: Policy) -> str | None:
    """What a criterion says that it can hardly mean."""
    bound = policy.threshold
    lowest = -1 if policy.compares else 0
    if policy.share and not lowest <= bound <= 1:
        return (
            f'{bound:g} is not a share: write {bound / 100:g} or "{bound:g}%". For a number that '
            "is none, such as a mean of levels, add share = false."
        )
    if policy.compares and (fault := _fault_of_difference(policy)):
        return fault
    if name == BAD_ROWS and not policy.blocks:
        return "is always critical: what could not be read may hide any mistake. Leave out tier."
    if name == BAD_ROWS and policy.max_value is None:
        return "takes max_value: the greatest share of rows that may be unreadable."
    return None


def _fault_of_difference(policy: Policy) -> str | None:
    relative, below = policy.min_relative_difference, policy.relative_below
    both = relative is not None and policy.min_difference is not None
    if both is not (below is not None):
        return (
            "min_difference, min_relative_difference and relative_below go together: the second is "
            "the bound where the other system's value is below the third."
        )
    if relative is not None and relative <= -1:
        return f"min_relative_difference = {relative:g} lets everything be lost; -0.10 is a tenth."
    return None


def claims_better(gate: str) -> bool:
    """Whether a gate's name says that one system beats another: a shown loss never passes it."""
    return gate.startswith("beats")


def may_lose(gate: str, policy: Policy) -> bool:
    """Whether a gate's name says that one system beats another, and its bound asks for less."""
    bounds = (getattr(policy, key) for key in DIFFERENCES)
    return claims_better(gate) and any(bound is not None and bound < 0 for bound in bounds)


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


def criteria_in_force(named: Path | None = None) -> str | None:
    """Hash the criteria of a file, by default of suites/gates.toml; None where that is not there.

    Raises:
        UserError: the file has a fault, or was named and is not there.
    """
    if named is None and not GATES.is_file():
        return None
    return policies_sha256(load_policies(named or GATES))


def policies_sha256(policies: Mapping[str, Policy]) -> str:
    """Hash the criteria; comments and order in the file do not count. Hexadecimal."""
    # A key that came later counts where it is used, so that earlier verdicts still hold.
    later = {
        "share": True,
        "tier": "critical",
        "min_relative_difference": None,
        "relative_below": None,
    }
    content = {
        name: policy.model_dump(
            mode="json", exclude={key for key, was in later.items() if getattr(policy, key) == was}
        )
        for name, policy in policies.items()
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
