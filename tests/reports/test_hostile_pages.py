"""Every page and report of a run that is full of hostile text: no script runs, nothing is asked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from html.parser import HTMLParser
from itertools import cycle
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hostile_texts import TEXT, hostile
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from evalkit.evaluation import Evaluation, compare, evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, conclude, judge
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.card.metadata import describe_subject
from evalkit.reports.card.subject import Subject
from evalkit.reports.card.text import render_card, training_card
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.reports.writing import (
    write_comparison,
    write_index,
    write_report,
    write_text,
)
from evalkit.run_record import RunRecord
from evalkit.runs import read_run, write_run, write_verdicts
from evalkit.tasks import Task
from evalkit.training.recipe import Recipe

if TYPE_CHECKING:
    from playwright.sync_api import Page

RAN = "window.ran=1"
SCRIPTS = (
    f"<script>{RAN}</script>",
    f"</script><script>{RAN}//",
    f"</title></style></textarea></noscript></template><script>{RAN}</script>",
    f"<!--<script>{RAN}",
    f"--><script>{RAN}</script>",
    f'"><img src=x onerror={RAN}>',
    f"' onmouseover='{RAN}' onfocus='{RAN}' autofocus x='",
    f"<svg/onload={RAN}>",
    f"<details open ontoggle={RAN}>",
    "<iframe srcdoc='<script>parent.ran=1</script>'></iframe>",
    "<img src=http://127.0.0.1:9/a><link rel=stylesheet href=//127.0.0.1:9/b>",
    "<meta http-equiv=refresh content='0;url=http://127.0.0.1:9/'><base href=//127.0.0.1:9/>",
    f"javascript:{RAN}",
    f"[x](javascript:{RAN}) ![x](http://127.0.0.1:9/c) <javascript:{RAN}>",
    f"```\n<script>{RAN}</script>\n```\n\n<script>{RAN}</script>",
    f"`<script>{RAN}</script>` | <b>cell</b> | \n\n# no heading",
    f'{{"a":"\u2028\u2029"}}];{RAN};[\\',
    "{{ 7 * 7 }}{% raw %}${7*7}",
    "\u202egpj.exe\u2066\u200f\x1b[2J\x1b]8;;http://x\x07\x00\x9b",
    "\ud800 alone",
)
ACTIVE = """() => [...document.querySelectorAll("*")].filter((e) =>
  [...e.attributes].some((a) => a.name.startsWith("on"))
  || [e.getAttribute("href"), e.getAttribute("src")].some((to) =>
    /^\\s*(javascript:|https?:|\\/\\/)/i.test(to || ""))
  || ["IFRAME", "OBJECT", "EMBED", "BASE", "IMG"].includes(e.tagName)
  || (e.tagName === "META" && e.httpEquiv === "refresh")
).map((e) => e.outerHTML.slice(0, 200))"""
TOUCH_ALL = """() => {
  for (const e of document.querySelectorAll("details")) e.open = true;
  for (const e of document.querySelectorAll("button, th, summary")) {
    for (const type of ["mouseover", "focus", "click"]) {
      e.dispatchEvent(new Event(type, {bubbles: true}));
    }
  }
}"""


def hostile_run(runs: Path, words: Sequence[str], right: int, name: str) -> JudgedRun:
    """A judged run with hostile words in every text field that there is.

    On disk, but for the words that no folder can be named.
    """
    says = cycle(words)

    def say() -> str:
        return next(says)

    def some(count: int) -> dict[str, str]:
        return {f"{n} {say()}": say() for n in range(count)}

    inputs = {f"in {n} {say()}": {"title": say(), "paths": ["t"]} for n in range(2)}
    values = [{"value": f"{n} {word}", "description": word} for n, word in enumerate(words)]
    values.append({"value": "last", "description": say()})
    field = f"out {say()}"
    task = Task.model_validate(
        dict.fromkeys(("name", "family", "summary", "instruction"), say())
        | {"inputs": inputs}
        | {"fields": {field: {"kind": "choice", "title": say(), "paths": ["a"], "values": values}}}
    )
    labels = task.fields[field].labels
    fmt = get_format("json", task)
    examples, completions = [], {}
    for n, label in enumerate(labels):
        given = {key: say() for key in inputs}
        row = Example(f"{n} {words[n % len(words)]}", given, {field: label})
        said = label if n < right else labels[n - 1]
        text = say() if n == 0 else fmt.render(task, {field: said}, given)
        examples.append(row)
        completions[row.id] = Completion(text, FinishReason.STOP, confidences={field: 0.5})
    record = RunRecord.model_validate(
        {
            "base": say(),
            "format": "json",
            "quantization": say(),
            "engine": {"engine": say(), "device": say(), **some(2)},
            "trained_sha256": some(1),
            "machine": some(2),
            "packages": some(2),
            "commit": say(),
            "label_mappings": some(1),
            "notes": [*words],
            "unanswered": some(2),
            "started": "2026-01-02T03:04:05+00:00",
            "contamination": {"status": "unknown", "why": say()},
            "data": {
                "source": say(),
                "sha256": "d" * 64,
                "rows": len(labels),
                "notes": [*words],
                "label_mappings": some(2),
                "skipped": [{"where": say(), "why": say()}],
            },
        }
    )
    mine = evaluate(name, task, fmt, examples, completions, record=record)
    folder = write_run(mine, runs)
    mine = read_run(folder)
    release = conclude(name, task.family, *_verdicts(mine, field, words), partial=False)
    write_verdicts(folder, verdicts_to_json(release, mine, "c" * 64))
    found = read_judged(folder)
    assert found.release
    named = say()
    return replace(
        found,
        evaluation=replace(found.evaluation, system=named),
        release=replace(found.release, system=named, faults=(*words,), caveats=(*words,)),
    )


def _verdicts(mine: Evaluation, field: str, words: Sequence[str]) -> tuple[list, dict]:
    low = Policy(min_value=0.2, min_cases=1, why=" ".join(words))
    policies = {f"g {word}": low for word in words}
    policies["beats"] = Policy(min_difference=0.0, min_cases=1, why=words[0])
    policies[f"left {words[-1]}"] = low
    contest = compare(mine, replace(mine, system=words[0]), mine.headline_metrics()[0])
    verdicts = [
        judge(f"g {word}", low, mine.accuracy(field), slice_name=slice_name)
        for word in words
        for slice_name in ("", word)
    ]
    return [*verdicts, judge("beats", policies["beats"], contest)], policies


def write_all(runs: Path, words: Sequence[str]) -> list[Path]:
    """Every page in both languages, and every Markdown report as a page that lets HTML through."""
    several = [
        hostile_run(runs, words, right, f"<img src=x onerror={RAN}>{right}") for right in (2, 99)
    ]
    pages, texts = [], []
    for lang in ("en", "zh"):
        pages += [write_report(several[0], lang=lang), write_comparison(several, runs, lang=lang)]
        pages.append(write_index(runs, lang))
        texts.append(write_report(several[0], None, lang, "md", runs))
        texts.append(write_comparison(several, runs, None, lang, "md"))
    texts += [write_text(runs / f"{n}.md", card) for n, card in enumerate(cards(several[0], words))]
    shown = MarkdownIt("commonmark", {"html": True}).enable("table")
    for text in texts:
        body = text.read_text(encoding="utf-8")
        if body.startswith("---\n"):
            body = body.partition("\n---\n")[2]
        pages.append(write_text(text.with_suffix(".md.html"), f"<main>{shown.render(body)}"))
    return pages


def cards(run: JudgedRun, words: Sequence[str]) -> Iterator[str]:
    """The card of a run, and that of an adapter which was just trained."""
    first, last = words[0], words[-1]
    subject = Subject(first, last, "json", first, last, (*words,), {first: (*words,)})
    keys = ("system", "task", "format", "base", "data", "device")
    said = {
        **dict(zip(keys, cycle(words), strict=False)),
        "recipe": Recipe(data=first).model_dump(mode="json"),
        "rows": {"trained_on": 1, "dev": 1, "duplicates_dropped": 0},
        "steps": 1,
        "train_loss": 0.1,
        "dev_loss": 0.1,
        "seconds": 1.0,
        "dev_accuracy": dict.fromkeys(words, 0.5),
        "remarks": [*words],
    }
    metadata = describe_subject(subject, said, judged=run, measured={})
    yield render_card(subject, metadata, said, plotted=False, judged=run)
    yield training_card(said, plotted=False)


class Scripts(HTMLParser):
    """What a browser would run of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, str | None]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "iframe", "object", "embed", "base"):
            self.found.append((tag, dict(attrs).get("type")))
        for name, value in attrs:
            if name.startswith("on") or (value or "").strip().lower().startswith("javascript:"):
                self.found.append((name, value))


@hostile(0.005)
@given(words=st.lists(TEXT, min_size=1, max_size=5))
def test_a_parser_finds_no_other_script(
    words: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    plain, full = (
        [Scripts(page.read_text("utf-8")).found for page in write_all(folder, said)]
        for folder, said in (
            (tmp_path_factory.mktemp("runs"), [f"word {n}" for n in range(len(words))]),
            (tmp_path_factory.mktemp("runs"), words),
        )
    )
    assert full == plain


@hostile(0.005)
@example(words=SCRIPTS)
@given(words=st.lists(TEXT, min_size=1, max_size=5))
def test_no_script_runs_in_chromium(
    trusting: Page, words: Sequence[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Not even where the pages' own Content-Security-Policy is not kept."""
    for path in write_all(tmp_path_factory.mktemp("runs"), words):
        trusting.goto(path.as_uri())
        assert trusting.evaluate(ACTIVE) == [], path.name
        trusting.evaluate(TOUCH_ALL)
        assert trusting.evaluate("window.ran") is None, path.name
        assert trusting.url.startswith("file:")
