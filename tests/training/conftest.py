"""What makes tiny trainings quick."""

from __future__ import annotations

import gc
from collections.abc import Iterator

import pytest
import torch


@pytest.fixture(scope="package", autouse=True)
def quick() -> Iterator[None]:
    """One thread, as tiny matrices gain nothing from more and lose much on a busy machine.

    And Trainer collects garbage at its start; what the imports have left need not be looked
    through each time.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()
    torch.set_num_threads(threads)
