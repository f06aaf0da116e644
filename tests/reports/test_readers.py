"""Readers in a browser: three questions with their clicks counted, and everybody can read it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from evalkit.evaluation import Evaluation, evaluate
from evalkit.evaluation.stability import flip_rate
from evalkit.formats import get_format
from evalkit.gates import Policy, conclude, judge
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.judged import read_judged
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.reports.writing import write_comparison, write_index, write_report
from evalkit.run_record import RunRecord
from evalkit.runs import copy_run, read_run, write_run, write_verdicts
from evalkit.tasks import load_task

if TYPE_CHECKING:
    from playwright.sync_api import Page

TASK = load_task("notifications-3level")
FOLDERS = ("Work", "Personal", "Promotions", "Alerts")
ROWS = 60
FEW_ROWS = """() => {
  document.querySelectorAll(".rows tbody:nth-of-type(n + 9)").forEach((row) => row.remove());
  document.querySelectorAll("details").forEach((folded) => { folded.open = true; });
}"""
"""All rows are made alike, and axe looks at each cell of each."""
AXE = """(without) => axe.run(document, {
  resultTypes: ["violations"],
  rules: Object.fromEntries(without.map((name) => [name, {enabled: false}]))
})"""
CONTRAST = ["color-contrast"]
POLICIES = {
    "high_read_as_low": Policy(max_value=0.05, min_cases=5, why="a missed alarm costs most"),
    "priority_accuracy": Policy(min_value=0.8, min_cases=5, why="a phone that cries wolf"),
    "priority_recall": Policy(min_value=0.5, min_cases=5, why="each level counts"),
    "flip_rate": Policy(max_value=0.1, min_cases=5, why="typos do not matter"),
    "many": Policy(max_value=0.5, min_cases=1000, why="never enough"),
}


def evaluated(hidden: int, day: int, task: Any = TASK) -> Evaluation:
    """Rows of all priorities, of which some urgent ones are said to be low, the first surest."""
    examples, completions = [], {}
    for i in range(ROWS):
        labels = {"folder": FOLDERS[i % 4], "priority": 1 + i % 3}
        said = labels | ({"priority": 1} if labels["priority"] == 3 and i < 3 * hidden else {})
        given = {"app_name": "app", "title": f"title {i}", "body": "x " * 40}
        examples.append(Example(f"n-{i:02}", given, labels))
        sure = {"folder": 0.9, "priority": 0.99 - i / 200}
        completions[f"n-{i:02}"] = Completion(
            json.dumps(said), FinishReason.STOP, confidences=sure, margin=1.0
        )
    record = {
        "started": f"2026-01-{day:02}T03:04:05+00:00",
        "base": "hf:some/base",
        "format": "json",
        "data": {"source": "rows.jsonl", "sha256": "d" * 64, "rows": ROWS},
        "engine": {"engine": "transformers", "device": "cpu"},
        "trained_sha256": {"adapter": "a" * 64},
        "abilities": ["adapter"],
        "contamination": {"status": "checked", "trained_rows": 9, "seen": {}},
    }
    said_in = get_format("json", task)
    known = RunRecord.model_validate(record)
    return evaluate("mine", task, said_in, examples, completions, record=known)


def judged(runs: Path, hidden: int, day: int) -> Path:
    folder = write_run(evaluated(hidden, day), runs)
    mine = read_run(folder)
    worse = evaluated(hidden + 12, day)
    changed = replace(worse, record=worse.record.having(part="changed-typo"))
    recalls = [
        judge(
            "priority_recall",
            POLICIES["priority_recall"],
            mine.recall("priority", n),
            slice_name=str(n),
        )
        for n in (1, 2, 3)
    ]
    verdicts = [
        judge(
            "high_read_as_low",
            POLICIES["high_read_as_low"],
            mine.top_read_as_bottom("priority"),
        ),
        judge("priority_accuracy", POLICIES["priority_accuracy"], mine.accuracy("priority")),
        *(replace(v, part=("low", "medium", "high")[at]) for at, v in enumerate(recalls)),
        judge("flip_rate", POLICIES["flip_rate"], flip_rate(mine, changed), slice_name="typo"),
        judge("many", POLICIES["many"], mine.parse_failure_rate()),
    ]
    release = conclude("mine", "notifications", verdicts, POLICIES)
    write_verdicts(folder, verdicts_to_json(release, mine, "c" * 64))
    return folder


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A release that was kept, a worse run after it, and all pages in both languages."""
    runs = tmp_path_factory.mktemp("read") / "runs"
    before, now = (judged(runs, hidden, day) for hidden, day in ((1, 2), (8, 5)))
    copy_run(before, runs / "baselines" / "v1")
    for lang in ("en", "zh"):
        write_report(read_judged(before), lang=lang)
        write_report(read_judged(now), lang=lang)
        write_comparison([read_judged(now), read_judged(before)], runs, lang=lang)
        write_index(runs, lang)
    return runs


@pytest.fixture
def index(runs: Path, page: Page) -> Page:
    page.goto((runs / "index.html").as_uri())
    return page


def test_why_may_it_not_ship(index: Page) -> None:
    clicks = [index.locator("#runs a").first]
    for link in clicks:
        link.click()
    said = index.locator(".verdict").inner_text()
    assert "may NOT ship" in said
    reasons = index.locator(".closing li").all_inner_texts()
    assert reasons[0].startswith("Takes 40.0% of high priority for low (needs ≤ 5%).")
    assert "To try: pairs = true" in reasons[0]
    assert any("harmless edit (typo" in reason for reason in reasons)
    bottom = index.locator(".closing li").first.bounding_box()
    assert bottom
    assert bottom["y"] < 900, "on the first screen"


def test_show_me_the_urgent_ones_it_hid(index: Page) -> None:
    index.locator("#runs a").first.click()
    index.get_by_role("link", name="of high priority for low").click()
    assert index.locator("#table .found").inner_text() == "8 of 60 rows"
    assert index.locator(".rows tbody").first.inner_text().split()[0] == "n-02", "the surest"
    heads = [head.strip() for head in index.locator(".rows thead th").all_inner_texts()]
    for name, value in (("priority: right", "high"), ("priority: predicted", "low")):
        column = index.locator(f".rows tbody td:nth-child({heads.index(name) + 1})")
        assert {cell.split()[-1] for cell in column.all_inner_texts()} == {value}


def test_is_it_worse_than_the_last_release_and_where(index: Page) -> None:
    index.locator("#runs a").first.click()
    line = index.get_by_role("link", name="Worse than the baseline v1 at all fields right")
    assert "high" in line.inner_text() or "priority" in line.inner_text()
    line.click()
    assert index.url.endswith("#comparison")
    where = index.locator("#comparison tr", has_text="recall").filter(has_text="high")
    assert where.first.is_visible()
    assert "60.0%	95.0%	-35.0" in where.first.inner_text()
    assert where.first.inner_text().endswith("worse")


def pages(runs: Path, lang: str) -> Iterator[Path]:
    end = ".html" if lang == "en" else ".zh.html"
    yield sorted(runs.glob(f"*-mine*/report{end}"))[-1]
    yield runs / f"index{end}"
    found = sorted(runs.glob("comparison-*.html"))
    yield from (path for path in found if path.name.endswith(".zh.html") == (lang == "zh"))


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_axe_finds_nothing(runs: Path, page: Page, lang: str) -> None:
    base = pytest.importorskip("axe_playwright_python.base", reason="axe-core is not installed")
    for path in pages(runs, lang):
        page.goto(path.as_uri())
        page.evaluate(FEW_ROWS)
        page.evaluate(base.AXE_SCRIPT)
        # Of contrast, which takes most of the time, one language tells all: it has no colours.
        without = CONTRAST if lang != "en" else []
        for width, scheme in ((1280, "light"), (390, "dark")):
            page.set_viewport_size({"width": width, "height": 900})
            page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
            said = page.evaluate(AXE, without)
            assert said["passes"]
            assert [(v["id"], v["nodes"][0]["html"]) for v in said["violations"]] == []


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_a_phone_needs_no_scrolling_sideways(runs: Path, page: Page, lang: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in pages(runs, lang):
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") == 390, path.name
        for table in page.locator(".scroll:has(> .rows)").all():
            assert table.evaluate("(e) => e.scrollWidth <= e.clientWidth")
            assert table.locator("td[data-name]").count() > 50


def test_sections_stay_in_reach(runs: Path, page: Page) -> None:
    page.goto(next(pages(runs, "en")).as_uri())
    page.evaluate("document.documentElement.style.scrollBehavior = 'auto'; scrollTo(0, 3000)")
    place = page.locator(".places").bounding_box()
    assert place
    assert place["y"] == 0
    for link in page.locator(".places a").all():
        assert page.locator(str(link.get_attribute("href"))).count() == 1


def test_it_prints_in_few_pages(runs: Path, page: Page) -> None:
    page.goto(next(pages(runs, "en")).as_uri())
    leaves = re.findall(rb"/Type\s*/Page\b(?!s)", page.pdf(format="A4"))
    assert 1 < len(leaves) <= 9
