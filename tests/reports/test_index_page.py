"""The page of all runs, with the history of each gate."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evalkit.gates import Outcome, Policy, Verdict
from evalkit.records import Estimate
from evalkit.reports.charts import HISTORY_HEIGHT, HISTORY_WIDTH, MOST_RUNS, history
from evalkit.reports.files import REPORT
from evalkit.reports.history import gate_histories, summarise
from evalkit.reports.html.index_page import index_page
from evalkit.reports.render.terminal import to_terminal, to_text
from evalkit.reports.sections.history import history_blocks
from evalkit.reports.writing import write_comparison, write_index
from evalkit.runs import BASELINES, copy_run, write_verdicts
from judged_runs import write_judged_run

if TYPE_CHECKING:
    from playwright.sync_api import Page

HOSTILE = "<img src=x onerror=alert(1)>\u202e&\"'"


def at(runs: Path, day: int, **given: Any) -> Path:
    """A judged run of that day."""
    started = f"2026-02-{day:02}T10:00:00+00:00"
    folder = write_judged_run(runs, **{"started": started, **given})
    return folder.rename(runs / f"202602{day:02}T100000Z-{given.get('name', 'mine')}")


def lines_of(page: str) -> dict[str, str]:
    """The row of each run in the table, as text, by the run's name."""
    table = page[page.index('<table id="runs">') :]
    rows = re.findall(r'<tr data-system.*?data-started="([^"]*)".*?>\n(.*?)</tr>', table, re.DOTALL)
    return {name: " ".join(re.sub("<[^>]*>", " ", row).split()) for name, row in rows}


def test_every_run_is_listed_with_its_verdict_and_numbers(tmp_path: Path) -> None:
    first = at(tmp_path, 1, right=15)
    second = at(tmp_path, 2, right=8, name="other", judged=False)
    found = lines_of(index_page(tmp_path))
    assert list(found) == [second.name, first.name]  # the latest first
    line = found[first.name]
    assert "may NOT ship" in line
    assert "2026-02-01 10:00" in line
    assert "notifications-3level , 20 rows" in line
    assert "3 passed, 1 failed" in line
    assert "priority accuracy 75.0% 53.1 to 88.8" in line
    assert "no verdict it was not judged – –" in found[second.name]


def test_the_baseline_that_a_gate_asked_is_in_no_list(tmp_path: Path) -> None:
    tfidf = {"engine": {"engine": "tfidf"}}
    at(tmp_path, 1, name="tfidf", judged=False, **tfidf)
    shown = [at(tmp_path, 2, name="tfidf", **tfidf).name, at(tmp_path, 3, judged=False).name]
    assert list(lines_of(index_page(tmp_path))) == shown[::-1]
    listed = to_text(to_terminal(history_blocks(summarise(tmp_path))), 80, colour=False)
    assert [line.split()[0] for line in listed.splitlines() if line[:3] == " 20"] == [
        name.partition("-")[0] for name in shown
    ]
    assert len(summarise(tmp_path)) == 3  # --json has them all


def test_a_run_is_named_by_enough_of_its_name_whole_in_80_columns(tmp_path: Path) -> None:
    for name in ("a-system-of-a-very-long-name", "a-system-of-a-very-long-name-base", "other"):
        at(tmp_path, 1, name=name)
    listed = to_text(to_terminal(history_blocks(summarise(tmp_path))), 80, colour=False)
    names = [line.split()[0] for line in listed.splitlines() if line[:3] == " 20"]
    assert names == sorted(names)
    assert names[2] == "20260201T100000Z-o"
    assert max(map(len, listed.splitlines())) <= 80


def test_runs_are_linked_to_their_pages(tmp_path: Path) -> None:
    folder = at(tmp_path, 1, name="with space")
    at(tmp_path, 2)
    assert 'href="2' not in index_page(tmp_path)
    (folder / REPORT).write_text("x")
    assert re.findall(r'href="(2[^"]*)"', index_page(tmp_path)) == [
        "20260201T100000Z-with%20space/report.html"
    ]


def test_comparison_pages_are_linked(tmp_path: Path) -> None:
    from evalkit.reports.judged import read_judged

    runs = [read_judged(at(tmp_path, day, name=f"s{day}")) for day in (1, 2)]
    write_comparison(runs, tmp_path)
    assert '<a href="comparison-s1-vs-s2.html"><bdi>s1-vs-s2</bdi></a>' in index_page(tmp_path)


def test_baselines_are_marked_and_listed(tmp_path: Path) -> None:
    kept, gone = at(tmp_path, 1), at(tmp_path, 2, name="gone")
    copy_run(kept, tmp_path / BASELINES / "good")
    copy_run(gone, tmp_path / BASELINES / "old")
    for path in sorted(gone.rglob("*")):
        path.unlink()
    gone.rmdir()
    found = lines_of(index_page(tmp_path))
    assert "baseline good" in found[kept.name]
    assert found["old"].startswith("old baseline")
    assert list(found) == [kept.name, "old"]


def test_a_run_that_cannot_be_read_says_why(tmp_path: Path) -> None:
    changed, older, broken, no_json, judged_before = (at(tmp_path, day) for day in range(1, 6))
    record = json.loads((changed / "record.json").read_text())
    (changed / "record.json").write_text(json.dumps({**record, "system": "better"}))
    (older / "record.json").write_text(json.dumps({**record, "schema": 1}))
    (broken / "verdicts.json").write_text("{")
    (no_json / "record.json").write_text("[]")
    verdicts = json.loads((judged_before / "verdicts.json").read_text())
    write_verdicts(judged_before, {**verdicts, "schema": 2})
    found = lines_of(index_page(tmp_path))
    assert "cannot be read" in found[changed.name]
    assert "was changed after the run" in found[changed.name]
    assert "has schema 1" in found[older.name]
    assert "verdicts.json cannot be read" in found[broken.name]
    assert "cannot be read" in found[no_json.name]
    assert "its verdicts have schema 2" in found[judged_before.name]


def test_verdicts_of_other_predictions_do_not_count(tmp_path: Path) -> None:
    mine, other = at(tmp_path, 1), at(tmp_path, 2, right=20)
    (mine / "verdicts.json").write_bytes((other / "verdicts.json").read_bytes())
    found = lines_of(index_page(tmp_path))[mine.name]
    assert "no verdict" in found
    assert "of other predictions" in found
    assert "75.0%" not in found


def test_predictions_are_not_read(tmp_path: Path) -> None:
    folder = at(tmp_path, 1)
    before = index_page(tmp_path)
    (folder / "predictions.jsonl").unlink()
    assert index_page(tmp_path) == before


def test_a_folder_without_runs_says_so(tmp_path: Path) -> None:
    assert "There are none" in index_page(tmp_path)
    assert "There are none" in index_page(tmp_path / "nowhere")


def test_gates_are_followed_over_the_runs_of_a_system(tmp_path: Path) -> None:
    for day, right in ((1, 8), (2, 15), (3, 20)):
        at(tmp_path, day, right=right)
    at(tmp_path, 4, name="other", right=3)
    at(tmp_path, 5, judged=False)
    mine, other = gate_histories(summarise(tmp_path))
    assert (mine.system, len(mine.runs), other.system, len(other.runs)) == ("mine", 3, "other", 1)
    accuracy = mine.gates[0]
    assert accuracy.label == "accuracy"
    assert [gate and gate.estimate.value for gate in accuracy.found] == [0.4, 0.75, 1.0]
    page = index_page(tmp_path)
    assert "accuracy: 100.0% in the last of 3 judged runs, needs ≥ 80%; passed in 1" in page
    table = page[page.index('class="over-time"') :]
    row = re.search(r"<bdi>accuracy</bdi></code></th>(.*?)</tr>", table)
    assert row is not None
    assert re.findall(r"\d+\.\d%", row[1]) == ["40.0%", "75.0%", "100.0%"]


def test_a_gate_that_came_later_has_a_gap(tmp_path: Path) -> None:
    first = at(tmp_path, 1)
    at(tmp_path, 2)
    content = json.loads((first / "verdicts.json").read_text())
    content["gates"] = [gate for gate in content["gates"] if gate["gate"] != "recall"]
    write_verdicts(first, content)
    (mine,) = gate_histories(summarise(tmp_path))
    assert [gate.label for gate in mine.gates] == ["accuracy", "recall[2]", "beats", "faults"]
    assert mine.gates[1].found[0] is None
    assert mine.gates[1].last.estimate.value == 0.6
    assert len(marks(drawn(mine.gates[1].found, mine.same_rows))) == 1


def test_the_line_is_broken_where_the_rows_are_others(tmp_path: Path) -> None:
    data = {"source": "x", "sha256": "e" * 64, "rows": 20, "notes": [], "left_out": 0}
    for day in (1, 2):
        at(tmp_path, day)
    at(tmp_path, 3, data=data)
    (mine,) = gate_histories(summarise(tmp_path))
    assert mine.same_rows == (False, True, False)
    (line,) = [
        path.attrib["d"]
        for path in drawn(mine.gates[0].found, mine.same_rows).iter("path")
        if path.get("class") == "line"
    ]
    assert re.findall("[ML]", line) == ["M", "L", "M"]


def test_a_baseline_and_another_criterion_are_marked(tmp_path: Path) -> None:
    first, second, _ = (at(tmp_path, day) for day in (1, 2, 3))
    copy_run(first, tmp_path / BASELINES / "good")
    content = json.loads((second / "verdicts.json").read_text())
    content["gates"][0]["policy"]["min_value"] = 0.5
    write_verdicts(second, content)
    page = index_page(tmp_path)
    plot = page[page.index('<span class="name"><bdi>accuracy') :].split("</li>")[0]
    assert plot.count('class="baseline"') == 1
    assert plot.count('class="changed"') == 2  # to 50%, and back to 80%


gates = st.builds(
    lambda ends, bound, outcome: Verdict(
        "g",
        "",
        outcome,
        Policy(min_value=bound, why="x"),
        Estimate(sorted(ends)[1], 9, min(ends), max(ends), "x"),
    ),
    st.lists(st.floats(-1, 1), min_size=3, max_size=3),
    st.floats(0, 1),
    st.sampled_from(Outcome),
)


@given(st.lists(st.none() | gates, min_size=1, max_size=80).filter(any), st.data())
def test_marks_lie_within_the_drawing(found: list[Verdict | None], data: st.DataObject) -> None:
    same = data.draw(st.lists(st.booleans(), min_size=len(found), max_size=len(found)))
    label, low, high = history(found, same, [False] * len(found), "x")
    latest = [gate for gate in found[-MOST_RUNS:] if gate is not None]
    shown = marks(ElementTree.fromstring(label))
    assert [outcome for outcome, _, _ in shown] == [gate.outcome.value for gate in latest]
    assert all(0 <= x <= HISTORY_WIDTH and 0 <= y <= HISTORY_HEIGHT for _, x, y in shown)
    for one, (_, _, y) in zip(latest, shown, strict=True):
        above = (one.estimate.value - low) / (high - low or 1)
        assert y == pytest.approx(8 + 40 * (1 - above), abs=0.1) or high == low


def drawn(found: Sequence[Verdict | None], same: Sequence[bool]) -> ElementTree.Element:
    return ElementTree.fromstring(history(found, same, [False] * len(found), "x")[0])


def marks(of: ElementTree.Element) -> list[tuple[str, float, float]]:
    return [
        (use.attrib["href"].removeprefix("#mark-"), float(use.attrib["x"]), float(use.attrib["y"]))
        for use in of.iter("use")
    ]


def test_untrusted_names_stay_text(tmp_path: Path, show: Callable[..., Page]) -> None:
    folder = at(tmp_path, 1, name="plain")
    at(tmp_path, 2, name="other").rename(tmp_path / f"0-{HOSTILE}")
    folder = folder.rename(tmp_path / f"1-{HOSTILE}")
    (folder / REPORT).write_text("x")
    html = index_page(tmp_path)
    assert "<img" not in html
    assert "\u202e" not in html
    page = show(html)
    shown = page.locator("#runs tbody th").all_inner_texts()
    text = "<img src=x onerror=alert(1)>\\u202e&\"'"
    assert [line.splitlines()[0] for line in shown] == [f"1-{text}", f"0-{text}"]


def test_runs_are_filtered_by_system_and_searched(
    tmp_path: Path, show: Callable[..., Page]
) -> None:
    for day, name in ((1, "mine"), (2, "mine"), (3, "other")):
        at(tmp_path, day, name=name, judged=day != 2)
    page = show(index_page(tmp_path))
    rows = page.locator("#runs tbody tr:visible")
    systems = page.locator("details.system:visible")
    assert (rows.count(), systems.count()) == (3, 2)
    page.get_by_label("System").select_option("other")
    assert (rows.count(), systems.count()) == (1, 1)
    assert page.locator("#found").inner_text() == "1 of 3 runs"
    assert page.url.endswith("#system=other")
    page.get_by_label("System").select_option("")
    page.get_by_label("Verdict").select_option("no verdict")
    assert rows.count() == 1
    page.get_by_label("Verdict").select_option("")
    page.get_by_role("searchbox").fill("20260203 MAY")
    assert rows.count() == 1
    page.reload()
    assert rows.count() == 1
    assert page.get_by_role("searchbox").input_value() == "20260203 MAY"


def test_runs_are_sorted_by_their_heads(tmp_path: Path, show: Callable[..., Page]) -> None:
    for day, right in ((1, 15), (2, 8), (3, 20), (4, 9)):
        at(tmp_path, day, right=right, judged=day != 4)
    page = show(index_page(tmp_path))

    def days() -> list[int]:
        return [int(text[6:8]) for text in page.locator("#runs tbody tr").all_inner_texts()]

    assert days() == [4, 3, 2, 1]
    head = page.locator("#runs thead").get_by_role("button", name="Accuracy")
    head.click()
    assert days() == [2, 1, 3, 4]  # that without a number comes last
    head.press("Enter")
    assert days() == [3, 1, 2, 4]
    assert page.locator("th[aria-sort=descending]").count() == 1
    head.click()
    assert days() == [4, 3, 2, 1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_phone(tmp_path: Path, show: Callable[..., Page], scheme: Any) -> None:
    at(tmp_path, 1)
    at(tmp_path, 2, judged=False)
    page = show(index_page(tmp_path))
    page.set_viewport_size({"width": 360, "height": 740})
    page.emulate_media(color_scheme=scheme)
    assert page.evaluate("document.documentElement.scrollWidth") == 360
    page.get_by_label("only gates that did not pass last").check()
    assert page.locator(".plots li:visible").count() == 1


def test_the_index_is_written_beside_the_runs(tmp_path: Path) -> None:
    at(tmp_path, 1)
    path = write_index(tmp_path)
    assert path == tmp_path / "index.html"
    assert path.read_text(encoding="utf-8") == index_page(tmp_path)
    assert len(summarise(tmp_path)) == 1
