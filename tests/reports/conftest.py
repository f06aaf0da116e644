"""A browser that opens one file and complains about everything else.

Tests with these fixtures are skipped where no
Chromium or no Playwright is installed; `EVALKIT_CHROMIUM` names another Chromium.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def find_chromium() -> str | None:
    """The path of a Chromium, if there is one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    given = os.environ.get("EVALKIT_CHROMIUM")
    return given or next(filter(None, map(shutil.which, names)), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """Chromium, once for all tests."""
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    path = find_chromium()
    if path is None:
        pytest.skip("no Chromium is installed, and EVALKIT_CHROMIUM names none")
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield chromium
        chromium.close()


Watched = tuple["Page", list[str]]
"""A page, and what troubles it."""


@pytest.fixture(scope="session")
def opened(browser: Browser) -> dict[bool, Watched]:
    """The pages that tests get, by whether they bypass a Content-Security-Policy."""
    return {}


@pytest.fixture
def page(browser: Browser, opened: dict[bool, Watched]) -> Iterator[Page]:
    """A page that fails the test on any console error, script error or request but for files."""
    with opening(browser, opened) as found:
        yield found


@pytest.fixture
def trusting(browser: Browser, opened: dict[bool, Watched]) -> Iterator[Page]:
    """Such a page in a browser that keeps no Content-Security-Policy."""
    with opening(browser, opened, bypass_csp=True) as found:
        yield found


@contextmanager
def opening(
    browser: Browser, opened: dict[bool, Watched], *, bypass_csp: bool = False
) -> Iterator[Page]:
    """A page as if it were new, whose troubles are known once it is given back.

    Each new one would be a process, which takes a second of a processor.
    """
    if bypass_csp not in opened:
        opened[bypass_csp] = _watched(browser, bypass_csp)
    found, troubles = opened[bypass_csp]
    found.set_viewport_size({"width": 1280, "height": 900})
    found.emulate_media(media="null", color_scheme="light")
    yield found
    found.evaluate("(() => { try { localStorage.clear(); } catch { /* of no file */ } })()")
    told = list(troubles)
    troubles.clear()
    assert not told, told


def _watched(browser: Browser, bypass_csp: bool) -> Watched:
    context = browser.new_context(bypass_csp=bypass_csp)
    context.set_default_timeout(60_000)
    found = context.new_page()
    troubles: list[str] = []
    found.on(
        "console",
        lambda said: (
            troubles.append(f"console {said.type}: {said.text}")
            if said.type in ("error", "warning")
            else None
        ),
    )
    found.on("pageerror", lambda error: troubles.append(f"script error: {error}"))
    found.on(
        "request",
        lambda asked: (
            troubles.append(f"a request left the page: {asked.url}")
            if not asked.url.startswith(("file:", "data:"))
            or (asked.url.startswith("file:") and not asked.is_navigation_request())
            else None
        ),
    )
    found.on(
        "dialog", lambda dialog: (troubles.append(f"dialog: {dialog.message}"), dialog.dismiss())
    )
    return found, troubles


@pytest.fixture
def show(page: Page, tmp_path: Path) -> Callable[..., Page]:
    """Writes HTML to a file and opens it, at a hash where one is given."""

    def written(html: str, hash: str = "") -> Page:
        path = tmp_path / "report.html"
        path.write_text(html, encoding="utf-8")
        page.goto(f"{path.as_uri()}{hash}")
        return page

    return written
