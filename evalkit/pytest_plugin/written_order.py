"""Gates speak in the order in which they are written, whatever shuffles tests."""

from __future__ import annotations

import pytest

from evalkit.pytest_plugin.parameters import subject_of


class WrittenOrder:
    """Puts the tests of systems back into the order in which pytest found them.

    So a verdict lists the same in each run, beside pytest-randomly too.
    """

    def __init__(self) -> None:
        self._places: dict[pytest.Item, int] = {}

    def pytest_itemcollected(self, item: pytest.Item) -> None:
        """Note where a test is."""
        self._places[item] = len(self._places)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Order them before pytest brings those of one system together."""
        places = [place for place, item in enumerate(items) if subject_of(item)]
        ours = sorted((items[place] for place in places), key=self._places.__getitem__)
        for place, item in zip(places, ours, strict=True):
            items[place] = item
