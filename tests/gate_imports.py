"""What a gate loads, loaded once for all gates that tests run within their own process.

pytester unloads what a run has loaded: numpy cannot be loaded twice, and the rest takes longer
than many a gate.
"""

from __future__ import annotations

import jinja2  # noqa: F401
import scipy.special
import scipy.stats  # noqa: F401
import sklearn.feature_extraction.text
import sklearn.linear_model
import sklearn.preprocessing  # noqa: F401
from rich.cells import cell_len

import evalkit.pytest_plugin.session
import evalkit.reports.html.run_page
import evalkit.reports.terminal
import evalkit.runs.runner
from evalkit.formats import FORMATS

AS_THEY_ARE = ("--assert", "plain")
"""The suites' own asserts say nothing in these tests: each copy of them would be rewritten anew."""

for name in evalkit.__all__:
    getattr(evalkit, name)
cell_len("飞")  # The widths of characters are loaded with the first that is not ASCII.
# Loaded by a gate and unloaded behind it, a format's class would be there a second time.
tuple(FORMATS.values())
