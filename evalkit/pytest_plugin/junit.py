"""What gates say, as properties of `pytest --junitxml`'s test cases and suite.

A test case holds `LABEL.value`, `LABEL.threshold` and so on for each gate that spoke in it; the
suite holds `evalkit.SYSTEM.verdict`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from evalkit.printable import printable
from evalkit.reports.history import gate_facts

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from evalkit.gates import Release, Verdict


def record_gate(item: pytest.Item, verdict: Verdict) -> None:
    """Add what a gate said to its test case."""
    for name, fact in gate_facts(verdict).items():
        item.user_properties.append(_property(f"{verdict.label}.{name}", fact))


def record_release(record: Callable[[str, object], None] | None, release: Release) -> None:
    """Add the verdict on a system to the suite; `record` is None where no gate asked for it."""
    if record is None:
        return
    said = release.verdict.partition(":")[0]
    record(*_property(f"evalkit.{release.system}.verdict", said))


def _property(name: str, value: Any) -> tuple[str, str]:
    """Text that XML can hold: pytest escapes what it cannot in values, but not in names."""
    return printable(name, 1000), printable(str(value), 1000)
