"""The page that holds one run against others on the same rows."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from browsing import misplaced
from hypothesis import given
from hypothesis import strategies as st

from evalkit.errors import UserError
from evalkit.formats import get_format
from evalkit.records import Completion, Estimate, FinishReason
from evalkit.reports.charts import HEIGHT, RADIUS, WIDTH, scatter
from evalkit.reports.compare import compare_runs
from evalkit.reports.files import REPORT
from evalkit.reports.html.comparison_page import comparison_page
from evalkit.reports.html.index_page import index_page
from evalkit.reports.judged import JudgedRun, read_judged
from evalkit.reports.numbers import time_text
from evalkit.reports.render.markdown import to_markdown
from evalkit.reports.sections.comparison import comparison_blocks
from evalkit.runs import read_run, write_run
from judged_runs import TASK, write_judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = (
    "</script></style><img src=x onerror=alert(1)> & \"quotes\" 'too' \u202eright to left "
    "<!-- ]]> \x1b[2J \ud800"
)


class Rows(HTMLParser):
    """The texts of the cells of every table row."""

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.is_in_cell = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
            self.is_in_cell = True

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th"):
            self.is_in_cell = False

    def handle_data(self, data: str) -> None:
        if self.is_in_cell:
            self.rows[-1][-1] += data


def row_of(page: str, name: str, width: int) -> list[str]:
    """The cells of the row of that heading in a table of that many columns."""
    found = Rows()
    found.feed(page)
    rows = [[" ".join(cell.split()) for cell in row] for row in found.rows]
    return next(row for row in rows if row and row[0] == name and len(row) == width)


def flips_of(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="flipped">(.*?)</script>', page)
    assert found is not None
    content: dict[str, Any] = json.loads(found[1])
    return content


def column(flips: dict[str, Any], key: str) -> list[Any]:
    (found,) = [column for column in flips["columns"] if column["key"] == key]
    if found["kind"] == "enum":
        return [found["values"][place] for place in found["data"]]
    if found["kind"] == "set":
        return [[found["values"][place] for place in places] for places in found["data"]]
    data: list[Any] = found["data"]
    return data


def two(runs: Path, **second: Any) -> list[JudgedRun]:
    return [
        read_judged(write_judged_run(runs, right=15, name="one")),
        read_judged(write_judged_run(runs, **{"right": 8, "name": "two", **second})),
    ]


def hostile(runs: Path, name: str, right: int) -> JudgedRun:
    """A run whose ids, inputs, answers and confidences are meant to break a page."""
    plain = read_run(write_judged_run(runs, right=right, name="plain", source=HOSTILE))
    fmt = get_format("json", TASK)
    rows = []
    for at, row in enumerate(plain.rows):
        example = replace(
            row.example,
            id=f"{row.example.id} {HOSTILE}",
            inputs=dict.fromkeys(TASK.inputs, HOSTILE + "x" * 10_000),
        )
        text = row.completion.text if at < 15 else HOSTILE
        completion = Completion(text, FinishReason.STOP, confidences={"priority": 0.25})
        rows.append(
            replace(row, example=example, completion=completion, parsed=fmt.parse(TASK, text))
        )
    record = plain.record.having(system=name)
    return read_judged(
        write_run(replace(plain, system=name, record=record, rows=tuple(rows)), runs)
    )


def test_verdicts_and_headline_numbers_stand_side_by_side(tmp_path: Path) -> None:
    runs = two(tmp_path, judged=False)
    page = comparison_page(runs)
    assert runs[0].verdict == "may NOT ship"
    assert row_of(page, "A", 6)[4:] == ["may NOT ship", "1 of 4 failed"]
    assert row_of(page, "B", 6)[4:] == ["No verdict: it was not judged.", "–"]
    assert row_of(page, "priority accuracy", 3)[1].startswith("75.0% 53.1 to 88.8")


def test_the_runs_pages_are_linked_where_they_are(tmp_path: Path) -> None:
    runs = two(tmp_path)
    (runs[1].folder / REPORT).write_text("x")
    assert "report.html" not in comparison_page(runs)
    page = comparison_page(runs, place=tmp_path / "elsewhere")
    assert re.findall(r'<a href="([^#"]*)"', page) == [f"../{runs[1].name}/report.html"]


def test_every_number_is_tested_on_the_same_rows(tmp_path: Path) -> None:
    page = comparison_page(two(tmp_path))
    row = row_of(page, "priority accuracy", 7)
    # McNemar mid-p of 7 against 0: 2 * 0.5**7 - 0.5**7.
    assert [*row[1:4], *row[5:]] == ["75.0%", "40.0%", "+35.0", "0.008", "better"]
    assert row_of(page, "folder accuracy", 7)[6] == "not shown"
    assert row_of(page, "folder recall of Work", 7)[1:4] == ["100.0%", "100.0%", "+0.0"]
    error = row_of(page, "priority mean absolute error (levels)", 7)
    assert [*error[1:4], error[6]] == ["0.25", "0.60", "-0.35", "better"]
    reverse = comparison_page(two(tmp_path / "again")[::-1])
    assert row_of(reverse, "priority accuracy", 7)[6] == "worse"


def test_gates_stand_side_by_side(tmp_path: Path) -> None:
    runs = [*two(tmp_path), read_judged(write_judged_run(tmp_path, name="three", judged=False))]
    page = comparison_page(runs)
    assert row_of(page, "accuracy", 5) == [
        "accuracy",
        "≥ 80%",
        "75.0% ✗ fail ~",
        "40.0% ✗ fail",
        "–",
    ]
    assert row_of(page, "recall[medium]", 5)[2:4] == ["75.0% ✓ pass", "40.0% ✓ pass ~"]
    # 'one' beats the other system, 'two' does not: these gates come first.
    section = page.split('id="differing_gates"')[1].split("</section>")[0]
    assert re.findall("<code><bdi>(.*?)</bdi>", section) == ["beats"]


def test_in_a_terminal_it_says_how_many_flipped_rows_are_not_shown(tmp_path: Path) -> None:
    found = compare_runs(two(tmp_path))
    said = [to_markdown(comparison_blocks(found, show), "en") for show in (5, 6, 7)]
    told = [re.findall(r"(\d+) of (\d+) are shown", text) for text in said]
    assert told == [[("5", "7")], [("6", "7")], []]
    assert "`evalkit compare --limit 7` shows all of them" in said[0]


def test_flipped_rows_say_who_won_in_which_field(tmp_path: Path) -> None:
    runs = [*two(tmp_path), read_judged(write_judged_run(tmp_path, right=18, name="three"))]
    flips = flips_of(comparison_page(runs))
    assert column(flips, "id") == [str(i) for i in range(8, 18)]
    assert column(flips, "result") == [["won against B"]] * 7 + [["lost to C"]] * 3
    assert column(flips, "A") == ["medium"] * 7 + ["low"] * 3
    assert column(flips, "B") == ["low"] * 10
    assert [c["marks"] for c in flips["columns"] if c["key"] == "C"] == [[1] * 10]
    assert column(flips, "right") == ["medium"] * 10


def test_rows_that_repeat_training_data_are_no_flips(tmp_path: Path) -> None:
    runs = two(tmp_path, seen=10)
    assert column(flips_of(comparison_page(runs)), "id") == [str(i) for i in range(10, 15)]
    assert "10 of 20 rows are clean for both" in comparison_page(runs)


def test_systems_that_agree_have_no_flips(tmp_path: Path) -> None:
    page = comparison_page(two(tmp_path, right=15))
    assert row_of(page, "A / B", 4)[2:] == ["0", "0"]
    assert 'id="flipped' not in page


def test_what_differs_in_the_records_is_shown_with_its_values(tmp_path: Path) -> None:
    engine = {"engine": "transformers", "device": "cuda", "decoding": "free"}
    runs = two(tmp_path, engine=engine, packages={"torch": "2.13.0"}, commit="c" * 40)
    page = comparison_page(runs)
    assert row_of(page, "engine: device", 3)[1:] == ["cpu", "cuda"]
    assert row_of(page, "packages: torch", 3)[1:] == ["–", "2.13.0"]
    assert row_of(page, "commit", 3)[1:] == ["–", "c" * 12 + "…"]
    assert "engine: engine" not in page


def test_cost_is_drawn_and_listed(tmp_path: Path) -> None:
    cost = {
        "rows_per_second": 12.5,
        "seconds_per_row_p50": 0.08,
        "seconds_per_row_p95": 0.2,
        "prompt_tokens": 10,
        "generated_tokens": 5,
        "peak_memory_bytes": {},
    }
    page = comparison_page(two(tmp_path, cost=cost))
    assert page.count('class="dot"') == 2
    assert row_of(page, "A", 8)[1:4] == ["75.0%", "< 1 µs", "–"]  # its record has none
    assert row_of(page, "B", 8)[1:6] == ["40.0%", "< 1 µs", "12.5", "80.0", "200.0"]


def test_runs_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    with pytest.raises(UserError, match="2 to 26 runs, and 1"):
        comparison_page([one])
    with pytest.raises(UserError, match="named twice"):
        comparison_page([one, other, one])
    rows = read_run(one.folder).rows[:-1]
    fewer = read_judged(write_run(replace(one.evaluation, rows=rows), tmp_path))
    with pytest.raises(UserError, match=r"different test sets.*Run both on the same rows"):
        comparison_page([one, fewer])


def test_untrusted_text_stays_text(tmp_path: Path, show: Callable[..., Page]) -> None:
    runs = [hostile(tmp_path, "<b>one & two", 15), hostile(tmp_path, "other", 8)]
    html = comparison_page(runs)
    assert "<img" not in html
    assert "\u202e" not in html.replace(re.search(r'id="flipped">.*?</script>', html)[0], "")
    html.encode()  # no lone surrogate is left
    page = show(html)
    assert page.locator("h1").inner_text() == "<b>one & two against other"
    assert page.locator("img").count() == 0
    rows = page.locator("#flipped-rows tbody")
    assert rows.count() == 7
    assert "</script></style><img src=x" in rows.first.inner_text()
    rows.first.get_by_role("button").click()
    assert "x" * 10_000 in rows.first.inner_text()
    assert "\\u202eright to left" in rows.first.inner_text()


def test_flips_are_filtered_searched_and_sorted(tmp_path: Path, show: Callable[..., Page]) -> None:
    runs = [*two(tmp_path), read_judged(write_judged_run(tmp_path, right=18, name="three"))]
    page = show(comparison_page(runs))
    rows = page.locator("#flipped-rows tbody")
    assert rows.count() == 10
    page.locator("#flipped-rows .filters label", has_text="A has").locator("select").select_option(
        "lost to C"
    )
    assert rows.count() == 3
    page.get_by_role("searchbox").fill("text 16")
    page.locator("#flipped-rows .found", has_text="1 of 10").wait_for()
    assert rows.all_inner_texts()[0].split()[0] == "16"
    page.get_by_role("button", name="Clear all").click()
    page.locator("#flipped-rows thead").get_by_role("button", name="row").click()
    page.locator("#flipped-rows thead").get_by_role("button", name="row").click()
    assert rows.first.inner_text().split()[0] == "17"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(tmp_path: Path, show: Callable[..., Page], scheme: Any) -> None:
    page = show(comparison_page(two(tmp_path)))
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_is_wider_than_its_place_or_lies_over_another(
    tmp_path: Path, show: Callable[..., Page], width: int, lang: Any
) -> None:
    runs = two(tmp_path)
    for html in (comparison_page(runs, lang), index_page(tmp_path, lang)):
        page = show(html.replace("recall[medium]", "attack_success_rate[fake-values]"))
        page.set_viewport_size({"width": width, "height": 900})
        assert misplaced(page) == []


def test_the_page_speaks_chinese_but_for_names(tmp_path: Path) -> None:
    page = comparison_page(two(tmp_path), "zh")
    text = re.sub(r"<(style|script).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL)
    ours = "evalkit one two rows jsonl task notifications level folder priority Work medium"
    gates, terms = "accuracy recall beats faults", "Holm McNemar kappa token"
    assert set(re.findall("[A-Za-z]{3,}", text)) <= set(f"{ours} {gates} {terms}".split())


shares = st.floats(0, 1)


@given(st.lists(st.tuples(st.floats(0, 100), shares), min_size=1, max_size=8))
def test_dots_do_not_cover_each_other(systems: list[tuple[float, float]]) -> None:
    estimates = [(str(i), time, Estimate(v, 9, v, v, "x")) for i, (time, v) in enumerate(systems)]
    drawn = ElementTree.fromstring(scatter(estimates, "what", "across", "up"))
    dots = [(float(dot.attrib["cx"]), float(dot.attrib["cy"])) for dot in drawn.iter("circle")]
    names = [text.text for text in drawn.iter("text") if text.get("class") == "name"]
    assert names == [str(i) for i in range(len(systems))]
    for i, (x, y) in enumerate(dots):
        assert 0 <= y <= HEIGHT
        assert all(max(abs(x - a), abs(y - b)) >= 2 * RADIUS - 0.11 for a, b in dots[:i])
    grid = [line for line in drawn.iter("line") if line.get("class") == "grid"]
    assert all(0 <= float(line.attrib["x1"]) <= WIDTH for line in grid)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.0, "< 1 µs"), (1e-6, "1 µs"), (0.0942, "94.2 ms"), (0.99996, "1 s"), (12345.0, "12,345 s")],
)
def test_times_have_the_unit_that_suits_them(seconds: float, told: str) -> None:
    assert time_text(seconds) == told


def test_answers_of_other_values_are_refused(tmp_path: Path) -> None:
    one, other = two(tmp_path)
    fields = {"folder": TASK.fields["folder"]}
    task = TASK.model_copy(update={"fields": fields})
    changed = replace(other, evaluation=replace(other.evaluation, task=task))
    with pytest.raises(UserError, match="different tasks"):
        compare_runs([one, changed])
