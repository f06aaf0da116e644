"""Pages of the documentation taken apart: blocks, the commands in them, links and headings."""

from __future__ import annotations

import re
import shlex
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_FENCE = re.compile(r"(?P<indent> *)(?P<ticks>```+)(?P<language>[\w-]*) *")
_MARKER = re.compile(r"<!--\s*not run:\s*(?P<why>.+?)\s*-->")
_LINK = re.compile(r"\]\((?P<target>[^)\s]+)\)")
_INLINE = re.compile(r"(?<!`)`(?P<code>[^`]+)`(?!`)")
_FILE_COMMENT = re.compile(r"# (?P<path>[\w./-]+\.\w+)\Z")

SHELL = ("sh", "console")
LEFT_OUT = "[...]"


@dataclass(frozen=True)
class Command:
    """A line to be typed, and what the page shows below it."""

    line: int
    text: str
    shown: tuple[str, ...] = ()

    @property
    def steps(self) -> list[list[str]]:
        """Its words, apart at `&&` and `|`, without comments."""
        steps: list[list[str]] = [[]]
        for word in shlex.split(self.text, comments=True):
            if word in ("&&", "|"):
                steps.append([])
            else:
                steps[-1].append(word)
        return [step for step in steps if step]


@dataclass(frozen=True)
class Block:
    """A fenced block."""

    page: Path
    line: int
    """Of the opening fence."""
    language: str
    text: str
    not_run: str
    """Why the test does not run it, as the comment above it says; empty where it does."""

    @property
    def where(self) -> str:
        """File and line, for messages."""
        return f"{self.page}:{self.line}"

    @property
    def file(self) -> str:
        """The reader's file that this is the content of, where the first line names one."""
        found = _FILE_COMMENT.match(self.text.partition("\n")[0])
        return found["path"] if found else ""

    @property
    def commands(self) -> list[Command]:
        """What is to be typed: every line, or those behind `$ ` and `> `."""
        found: list[Command] = []
        for number, line in enumerate(self.text.splitlines(), self.line + 1):
            typed = line if self.language == "sh" else line[2:] if line.startswith("$ ") else None
            last = found[-1] if found else Command(0, "")
            if last.text.endswith("\\"):
                found[-1] = Command(
                    last.line, f"{last.text[:-1]} {line.removeprefix('> ').strip()}"
                )
            elif self.language == "console" and line.startswith("> ") and not last.shown:
                found[-1] = Command(last.line, f"{last.text} {line[2:]}")
            elif typed is not None:
                if typed.split("#")[0].strip():
                    found.append(Command(number, typed))
            elif found and line.strip():
                found[-1] = Command(last.line, last.text, (*last.shown, line))
        return found


def blocks(page: Path) -> list[Block]:
    """All fenced blocks of a page; one without a language is a shell's."""
    return list(_blocks(page))


def _blocks(page: Path) -> Iterator[Block]:
    opened: re.Match[str] | None = None
    start, content, comment = 0, [""], ""
    for number, line in enumerate(page.read_text(encoding="utf-8").splitlines(), 1):
        if opened is not None:
            if line.strip() == opened["ticks"]:
                text = "\n".join(content) + "\n"
                yield Block(page, start, _language(opened["language"], text), text, comment)
                opened, comment = None, ""
            else:
                content.append(line.removeprefix(opened["indent"]))
        elif found := _FENCE.fullmatch(line):
            opened, start, content = found, number, []
        elif marker := _MARKER.fullmatch(line.strip()):
            comment = marker["why"]
        elif line.strip():
            comment = ""
    assert opened is None, f"{page}:{start}: this block never ends"


def _language(named: str, text: str) -> str:
    if named:
        return named
    return "console" if re.search(r"^\$ ", text, re.MULTILINE) else "sh"


def prose(page: Path) -> str:
    """A page without its blocks."""
    lines: list[str] = []
    ticks = ""
    for line in page.read_text(encoding="utf-8").splitlines():
        found = _FENCE.fullmatch(line)
        if ticks:
            ticks = "" if line.strip() == ticks else ticks
        elif found:
            ticks = found["ticks"]
        else:
            lines.append(line)
    return "\n".join(lines)


def inline_code(page: Path) -> list[str]:
    """What is in single backticks, on one line each."""
    return [" ".join(found["code"].split()) for found in _INLINE.finditer(prose(page))]


def links(page: Path) -> list[str]:
    """Targets of links that lead nowhere else than into the repository."""
    text = _INLINE.sub("", prose(page))
    found = [match["target"] for match in _LINK.finditer(text)]
    return [target for target in found if "://" not in target and not target.startswith("mailto:")]


def anchors(page: Path) -> set[str]:
    """The anchors that headings get on the site and, for plain ones, on a git forge."""
    return {
        _slug(line.lstrip("#").strip()) for line in prose(page).splitlines() if line.startswith("#")
    }


def _slug(heading: str) -> str:
    plain = unicodedata.normalize("NFKD", heading).encode("ascii", "ignore").decode()
    return re.sub(r"[-\s]+", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())
