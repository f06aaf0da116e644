"""Settings of the tests."""

from __future__ import annotations

import os

import pytest
from hypothesis import settings

# The gates that tests judge are no part of the job's own summary and annotations.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
    os.environ.pop(name, None)

# No deadlines: how busy the machine is decides no outcome.
settings.register_profile("same-examples", derandomize=True, database=None, deadline=None)
settings.register_profile("search", deadline=None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Draw the same examples in each run, unless a seed or a profile was asked for."""
    if config.getoption("--hypothesis-profile"):
        return
    seed = config.getoption("--hypothesis-seed")
    settings.load_profile("same-examples" if seed is None else "search")
