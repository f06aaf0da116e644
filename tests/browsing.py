"""What a page looks like in a browser."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from playwright.sync_api import Page

MISPLACED = """() => {
  const found = [];
  const box = (e) => e.getBoundingClientRect();
  const name = (e) => e.tagName + "." + e.className + " " + e.textContent.trim().slice(0, 30);
  const seen = (e) => e.checkVisibility() && box(e).width > 1 && box(e).height > 1;
  if (document.documentElement.scrollWidth > innerWidth) found.push("wider than the screen");
  for (const table of [...document.querySelectorAll("table")].filter(seen)) {
    const place = box(table.parentElement);
    if (box(table).right > place.right + 1 && !table.classList.contains("rows")) {
      found.push(`${box(table).right - place.right} px wider than its place: ${name(table)}`);
    }
    if (!["table", "block"].includes(getComputedStyle(table).display)) {
      found.push("no table any more: " + name(table));
    }
  }
  const apart = (a, b) => a.right <= b.left + 1 || b.right <= a.left + 1
    || a.bottom <= b.top + 1 || b.bottom <= a.top + 1;
  for (const parent of document.querySelectorAll("main, section, tr, ul, .shares")) {
    const inner = [...parent.children].filter(seen);
    inner.forEach((one, at) => inner.slice(at + 1).forEach((other) => {
      if (!apart(box(one), box(other))) found.push(name(one) + " lies over " + name(other));
    }));
  }
  return found;
}"""


def misplaced(page: Page) -> list[str]:
    """Tables that are wider than what holds them, and boxes that lie over each other.

    The table of predictions scrolls in a box of its own, and may be as wide as it has columns.
    """
    found: list[str] = page.evaluate(MISPLACED)
    return found
