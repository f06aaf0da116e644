"""Settings of the tests."""

from __future__ import annotations

import os

# The gates that tests judge are no part of the job's own summary and annotations.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY"):
    os.environ.pop(name, None)
