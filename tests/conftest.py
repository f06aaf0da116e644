"""Settings of the tests."""

from __future__ import annotations

import gc
import os
from collections.abc import Generator, Iterator

import pytest
from hypothesis import settings
from hypothesis.internal.conjecture import providers

LONG = {
    "test_default_weights",
    "test_distribution",
    "test_faults",
    "test_gpu_benchmark",
    "test_processes",
    "test_ray_engine",
    "test_tracking",
}
"""Files with a test of ten seconds and more."""

# What is loaded and collected stays: to look through it for garbage again and again is in vain.
gc.disable()
COLOURS = ("FORCE_COLOR", "NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "PY_COLORS", "TTY_COMPATIBLE")

# Read when torch is loaded. Threads that wait go to sleep: spinning, they take a core from the
# other worker. One thread each: tiny matrices gain nothing from more.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OMP_NUM_THREADS", "1")

# The gates that tests judge are no part of the job's own summary and annotations, and what they
# print is what a pipe of 80 columns gets, whatever the terminal that the tests run in.
for name in ("GITHUB_ACTIONS", "GITHUB_STEP_SUMMARY", *COLOURS):
    os.environ.pop(name, None)
os.environ |= {"COLUMNS": "80", "LINES": "24"}

# No deadlines: how busy the machine is decides no outcome.
settings.register_profile(
    "same-examples", derandomize=True, database=None, deadline=None, max_examples=50
)
settings.register_profile("search", deadline=None, print_blob=True)


def pytest_configure(config: pytest.Config) -> None:
    """Draw the same examples in each run, unless a seed or a profile was asked for."""
    if config.getoption("--hypothesis-profile"):
        return
    seed = config.getoption("--hypothesis-seed")
    settings.load_profile("same-examples" if seed is None else "search")
    if seed is None:
        # Constants of the modules that happen to be loaded would be among the examples.
        none = providers._local_constants
        assert not len(none), "Hypothesis has looked at modules before"
        providers._get_local_constants = lambda: none


@pytest.fixture(scope="module")
def few_tokens() -> Iterator[None]:
    """Eight beyond the longest answer: models of random numbers write as many as they may."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("evalkit.engines.transformers_engine.SLACK_TOKENS", 8)
        yield


@pytest.hookimpl(wrapper=True, optionalhook=True)
def pytest_xdist_auto_num_workers() -> Generator[None, int, int]:
    """One more worker than processors: tests wait for servers, browsers and processes, too."""
    return (yield) + 1


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: begun last, one worker would be waited for by the others."""
    items.sort(key=lambda item: item.path.stem not in LONG)


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Leave what is loaded by now out of every later search for garbage, and search less often."""
    gc.freeze()
    gc.set_threshold(50_000, 50, 20)
    gc.enable()
