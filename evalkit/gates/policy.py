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

from evalkit.errors import UserError, did_you_mean
from evalkit.toml_files import parse_toml

BAD_ROWS = "bad_rows"
"""The criterion for rows that could not be read, which no suite holds a number against."""


def _read_bound(written: Any) -> float:
    """A bound as a number: `0.01` and `"1%"` are; a bare `1` might mean 1% or 100%."""
    if isinstance(written, str) and written.rstrip().endswith("%"):
        with suppress(ValueError):
            return float(written.rstrip().removesuffix("%")) / 100
    if isinstance(written, bool) or not isinstance(written, int | float):
        raise ValueError(f'{written!r} is no bound; write a number such as 0.8, or "80%"')
    if isinstance(written, int) and written != 0:
        percent = f'{written / 100:g} or "{written}%" for {written} percent'
        if abs(written) == 1:
            whole = f'{written}.0 or "{written}00%" for {written}00 percent'
        else:
            whole = f"{written}.0 with share = false for a number that is no share"
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


BOUNDS = ("min_value", "max_value", "min_difference")


class Policy(BaseModel):
    """One release criterion: a table of `gates.toml`."""

    model_config = ConfigDict(
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
        json_schema_extra={"oneOf": [{"required": [bound]} for bound in BOUNDS]},
    )

    min_value: Bound | None = None
    """The estimate must not be below this."""
    max_value: Bound | None = None
    """The estimate must not be above this."""
    min_difference: Bound | None = None
    """The advantage over another system must be shown to be above this, by a paired test."""
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
    """What a system must be for the criterion to apply: see `System.abilities`."""
    why: str
    """The reason for the threshold, with its source."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if sum(getattr(self, bound) is not None for bound in BOUNDS) != 1:
            raise ValueError("give one of min_value, max_value and min_difference")
        return self

    @property
    def blocks(self) -> bool:
        """Whether a release waits for it."""
        return self.tier == "critical"

    @property
    def threshold(self) -> float:
        """The bound, whichever it is."""
        (bound,) = (found for name in BOUNDS if (found := getattr(self, name)) is not None)
        return float(bound)

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
    lowest = 0 if policy.min_difference is None else -1
    if policy.share and not lowest <= bound <= 1:
        return (
            f'{bound:g} is no share: write {bound / 100:g} or "{bound:g}%". For a number that is '
            "none, such as a mean of levels, add share = false."
        )
    if claims_better(name) and policy.min_difference is not None and bound < 0:
        return (
            f"min_difference = {bound:g} would pass a loss, and its name says that it beats "
            "something. Set min_difference = 0.0, or give what may be lost another name."
        )
    if name == BAD_ROWS and not policy.blocks:
        return "is always critical: what could not be read may hide any mistake. Leave out tier."
    if name == BAD_ROWS and policy.max_value is None:
        return "takes max_value: the greatest share of rows that may be unreadable."
    return None


def claims_better(gate: str) -> bool:
    """Whether a gate's name says that one system beats another: a loss never passes it."""
    return gate.startswith("beats")


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
    # A key that came later counts where it is used, so that earlier verdicts still hold.
    later = {"share": True, "tier": "critical"}
    content = {
        name: policy.model_dump(
            mode="json", exclude={key for key, was in later.items() if getattr(policy, key) == was}
        )
        for name, policy in policies.items()
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
