"""What strict JSON has no words for."""

from __future__ import annotations

import math
from collections.abc import Mapping


def finite(content: object) -> object:
    """The same with null for numbers that JSON does not have."""
    if isinstance(content, float) and not math.isfinite(content):
        return None
    if isinstance(content, Mapping):
        return {key: finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [finite(value) for value in content]
    return content
