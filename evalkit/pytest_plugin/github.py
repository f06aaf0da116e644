"""GitHub Actions: a job's summary, and annotations for gates that did not pass.

Formats, escapes and limits are those of GitHub's "Workflow commands for GitHub Actions" and of
`packages/core/src/command.ts` in github.com/actions/toolkit.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Generator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from evalkit.gates import Outcome
from evalkit.printable import printable
from evalkit.reports.render.markdown import to_markdown
from evalkit.reports.render.terminal import line_of, to_terminal, to_text
from evalkit.reports.sections.gates import explain
from evalkit.reports.sections.run import SECTIONS, run_sections, section_title
from evalkit.reports.sections.verdict import closing, verdict_section
from evalkit.reports.view import Heading

if TYPE_CHECKING:
    from evalkit.gates import Release, Verdict
    from evalkit.pytest_plugin.session import GateSession
    from evalkit.reports.judged import JudgedRun
    from evalkit.reports.view import Blocks
    from evalkit.tasks import Field

MOST_BYTES = 1024 * 1024
"""Of a step's summary, with what others wrote. GitHub drops a longer one as a whole."""
MOST_ANNOTATIONS = 10
"""Of a kind that GitHub shows for a step."""
_SECTIONS = ("gates", "results", "slices", "contamination", "cost", "limitations")
"""Of the report on a run, those that a summary has."""
_CUT = "\n\nThe rest is left out: GitHub shows 1 MiB of a summary.\n"


class GitHubOutputs:
    """Speaks to GitHub Actions, where the session runs there, once all else is said."""

    def __init__(self, gate: GateSession, environ: Mapping[str, str] = os.environ) -> None:
        self.gate = gate
        self.annotates = environ.get("GITHUB_ACTIONS") == "true"
        self.summary = environ.get("GITHUB_STEP_SUMMARY")

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_sessionfinish(self) -> Generator[None, object, object]:
        """Keep what is shown of rows from being read as commands; then summarise and annotate."""
        terminal = self.gate.config.pluginmanager.getplugin("terminalreporter")
        if not (self.annotates or self.summary):
            return (yield)

        def say(line: str) -> None:
            if terminal is not None:
                terminal.ensure_newline()
                terminal.write_line(line)

        token = secrets.token_hex(16)
        if self.annotates:
            # Whatever stands on the line, progress under -q for one: a command begins its own.
            say(f"\n::stop-commands::{token}")
        try:
            result = yield
        finally:
            if self.annotates:
                say(f"\n::{token}::")
        evidence = self.gate.run_cache
        if evidence.evaluations or any(evidence.faults.values()):
            try:
                self._report(list(self.gate.releases()), say)
            except Exception as error:  # whatever it is, the verdict stands
                say(f"GitHub was not told all: {type(error).__name__}: {error}")
        return result

    def _report(self, releases: Sequence[Release], say: Callable[[str], None]) -> None:
        if self.annotates:
            for release in releases:
                for line in annotation_lines(release, self.gate.fields_of(release.system)):
                    say(line)
        if self.summary:
            text = "\n".join(summary(r, self.gate.judged.get(r.system)) for r in releases)
            append_summary(Path(self.summary), text)


def annotation_lines(release: Release, fields: Mapping[str, Field]) -> list[str]:
    """Commands: an error for the verdict and each failed gate, a warning for each open one."""
    if release.may_ship:
        return []
    failed, undecided = release.of(Outcome.FAIL), release.of(Outcome.INCONCLUSIVE)
    said = printable(line_of(closing(release, fields)), 1000)
    if len(failed) >= MOST_ANNOTATIONS:
        said += f" GitHub shows {MOST_ANNOTATIONS} errors of a step; the log has all."
    lines = [command("warning" if release.partial else "error", "release gate", said)]
    for verdict in (*failed, *undecided):
        kind = "error" if verdict in failed and verdict.blocks else "warning"
        lines.append(command(kind, printable(verdict.shown), _in_words(verdict)))
    return lines


def command(kind: str, title: str, message: str) -> str:
    r"""A workflow command that shows a message.

    >>> command("error", "a,b:c", "100%\nsure")
    '::error title=a%2Cb%3Ac::100%25%0Asure'
    """
    message = message.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    title = title.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")
    title = title.replace(":", "%3A").replace(",", "%2C")
    return f"::{kind} title={title}::{message}"


def _in_words(verdict: Verdict) -> str:
    text = to_text(to_terminal(explain(verdict)), 1000, colour=False)
    return "\n".join(printable(line, 500) for line in text.splitlines())


def summary(release: Release, run: JudgedRun | None) -> str:
    """A release as Markdown, what did not pass first. Text of rows and tasks stays text.

    There is no run where the evidence was refused.
    """
    title = f"{release.system}: {release.verdict.partition(':')[0]}"
    blocks: Blocks = [Heading(1, title)]
    if run is None:
        return to_markdown([*blocks, *verdict_section(release, {})])
    sections = run_sections(run)
    blocks += sections["conclusion"]
    for name in (*_SECTIONS, *SECTIONS.added):
        if name in sections:
            blocks += [Heading(2, section_title(name)), *sections[name]]
    return to_markdown(blocks)


def append_summary(path: Path, text: str) -> None:
    """Append to a step's summary what fits; what others wrote stays.

    Raises:
        OSError: it cannot be written, or is full.
    """
    there = path.stat().st_size if path.exists() else 0
    apart = b"\n\n" if there else b""
    room = MOST_BYTES - there - len(apart)
    content = text.encode("utf-8", "backslashreplace")
    if len(content) > room:
        end = content[: max(0, room - len(_CUT))].rfind(b"\n")
        if end < 1:
            raise OSError(f"{path} has no room left")
        content = content[:end] + _CUT.encode()
    with path.open("ab") as file:
        file.write(apart + content)
