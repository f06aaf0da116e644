"""What suite tests are parametrised with: the system, and values and fields of its task."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pytest

    from evalkit.pytest_plugin.run_cache import SystemUnderTest


class SubjectName(str):
    """What evalkit parametrises `system_under_test` with; a project's own is something else."""

    __slots__ = ()


NO_MODEL = SubjectName("no-model")
MISFIT = SubjectName("misfit")


def params(item: pytest.Item) -> dict[str, Any]:
    """What a test is parametrised with."""
    callspec = getattr(item, "callspec", None)
    return callspec.params if callspec is not None else {}


def subject_of(item: pytest.Item) -> SubjectName | None:
    """The system that a test is for; None for a test that asks for none of evalkit's."""
    name = params(item).get("system_under_test")
    return name if isinstance(name, SubjectName) else None


def fits(item: pytest.Item, subjects: Mapping[str, SystemUnderTest]) -> bool:
    """Whether the value or the field that a test is of is one of its system's task."""
    given, name = params(item), subject_of(item)
    if name == MISFIT:
        return False
    if name is None or name not in subjects:
        return True
    fields = subjects[name].task.fields
    each_value = item.get_closest_marker("each_value")
    if each_value is not None:
        spec = fields.get(each_value.args[0])
        if spec is None or given.get("value") not in spec.labels:
            return False
    return item.get_closest_marker("each_field") is None or given.get("field") in fields
