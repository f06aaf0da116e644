"""Which report goes into which file, and that it gets there whole.

A run's folder holds the reports on the run; what is about several runs lies in the folder of all
runs. Reports are not evidence: no hash covers them, and they are written again at will.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from evalkit import atomic
from evalkit.errors import UserError
from evalkit.locale import Lang
from evalkit.reports.compare import compare_runs
from evalkit.reports.files import (
    COMPARISON_PREFIX,
    INDEXES,
    MARKDOWN,
    MARKDOWN_COMPARISON,
    PAGES,
)
from evalkit.reports.html.comparison_page import comparison_page
from evalkit.reports.html.index_page import index_page
from evalkit.reports.html.run_page import run_page
from evalkit.reports.judged import JudgedRun
from evalkit.reports.related import find_related
from evalkit.reports.render.markdown import to_markdown
from evalkit.reports.sections.comparison import comparison_blocks
from evalkit.reports.sections.run import run_markdown

Form = Literal["html", "md"]
_LONGEST_NAME = 120


def write_report(
    run: JudgedRun,
    to: Path | None = None,
    lang: Lang = "en",
    form: Form = "html",
    runs: Path | None = None,
) -> Path:
    """Write the report on one run: into its folder, or to a file.

    Runs to hold it against are looked for in `runs`; beside it by default.

    Raises:
        UserError: the file cannot be written.
    """
    others = find_related(run, runs or run.folder.parent)
    if form == "html":
        return write_text(to or run.folder / PAGES[lang], run_page(run, lang, others=others))
    return write_text(to or run.folder / MARKDOWN[lang], run_markdown(run, lang, others=others))


def write_comparison(
    runs: Sequence[JudgedRun],
    folder: Path,
    to: Path | None = None,
    lang: Lang = "en",
    form: Form = "html",
) -> Path:
    """Write what holds the first run against the others: into a folder, or to a file.

    Raises:
        UserError: the runs cannot be compared, or the file cannot be written.
    """
    if form == "html":
        path = to or folder / comparison_name(runs, lang)
        return write_text(path, comparison_page(runs, lang, place=path.parent))
    text = to_markdown(comparison_blocks(compare_runs(runs)), lang)
    return write_text(to or folder / MARKDOWN_COMPARISON[lang], text)


def write_index(runs: Path, lang: Lang = "en", criteria_sha256: str | None = None) -> Path:
    """Write the index of all runs, into their folder.

    Runs that were judged by other criteria than those in force are marked, where these are given.

    Raises:
        UserError: the file cannot be written.
    """
    return write_text(runs / INDEXES[lang], index_page(runs, lang, criteria_sha256=criteria_sha256))


def comparison_name(runs: Sequence[JudgedRun], lang: Lang = "en") -> str:
    """A file's name that says what is compared: the systems, or their runs where these repeat."""
    names = [run.system for run in runs]
    if len(set(names)) < len(names):
        names = [run.name for run in runs]
    first, *others = (re.sub(r"[^\w.-]+", "_", name, flags=re.ASCII) for name in names)
    told = "-and-".join(others)
    if len(first) + len(told) > _LONGEST_NAME:
        first, told = first[:_LONGEST_NAME], f"{len(others)}-others"
    return f"{COMPARISON_PREFIX}{first}-vs-{told}{'' if lang == 'en' else f'.{lang}'}.html"


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all.

    Raises:
        UserError: it cannot be written.
    """
    try:
        # A lone surrogate in a model's answer is not text; a page shows it as "?".
        atomic.write_text(path, text, errors="replace")
    except OSError as error:
        raise UserError(
            f"{path} cannot be written: {error.strerror or error}. Make room and see to it that "
            "its folder is there and can be written to, or choose another place."
        ) from error
    return path
