"""`evalkit report`, as its user meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from evalkit.cli import main
from evalkit.errors import UserError
from evalkit.reports.judged import read_judged
from evalkit.reports.writing import comparison_name, write_text
from evalkit.runs import read_run, read_verdicts, write_run
from judged_runs import write_judged_run

COST = {
    "rows_per_second": 12.5,
    "seconds_per_row_p50": 0.08,
    "seconds_per_row_p95": 0.2,
    "prompt_tokens": 10,
    "generated_tokens": 5,
    "peak_memory_bytes": {},
}


@dataclass
class Done:
    code: int
    out: str
    err: str


Report = Callable[..., Done]


@pytest.fixture
def report(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Report:
    """Run the command in `tmp_path`; in this process, as starting one takes a second."""
    monkeypatch.chdir(tmp_path)

    def run(*arguments: str | Path) -> Done:
        monkeypatch.setattr(sys, "argv", ["evalkit", "report", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        return Done(int(str(stop.value)), *capsys.readouterr())

    return run


@pytest.fixture
def folders(tmp_path: Path) -> list[Path]:
    runs = tmp_path / "runs"
    return [
        write_judged_run(runs, right=right, name=name, cost=COST)
        for right, name in ((15, "one"), (8, "two"))
    ]


def test_a_run_gets_its_page_and_the_index_links_it(report: Report, folders: list[Path]) -> None:
    one = folders[0]
    done = report(one.name)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines() == [
        f"run: runs/{one.name}/report.html",
        "index: runs/index.html",
    ]
    page = (one / "report.html").read_text(encoding="utf-8")
    assert page.startswith("<!doctype html>")
    assert "may NOT ship" in page
    assert f'href="{one.name}/report.html"' in Path("runs/index.html").read_text(encoding="utf-8")


def test_a_report_does_not_touch_what_a_run_is_bound_to(
    report: Report, folders: list[Path]
) -> None:
    one = folders[0]
    before = {path: path.read_bytes() for path in one.rglob("*") if path.is_file()}
    assert report(one).code == 0
    assert report(one, "--format", "md").code == 0
    assert {path: path.read_bytes() for path in before} == before
    added = {path.name for path in one.rglob("*")} - {path.name for path in before}
    assert added == {"report.html", "report.md"}
    assert len(read_run(one).rows) == 20
    assert read_verdicts(one) is not None
    assert read_judged(one).verdict == "may NOT ship"


def test_several_runs_are_compared_too(report: Report, folders: list[Path]) -> None:
    done = report(*folders)
    assert done.code == 0
    assert [line.split(": ")[0] for line in done.out.splitlines()] == [
        "run",
        "run",
        "comparison",
        "index",
    ]
    page = Path("runs/comparison-one-vs-two.html").read_text(encoding="utf-8")
    assert f'href="{folders[1].name}/report.html"' in page
    index = Path("runs/index.html").read_text(encoding="utf-8")
    assert 'href="comparison-one-vs-two.html"' in index


def test_runs_that_lie_elsewhere_are_reported_there(report: Report, tmp_path: Path) -> None:
    one, two = (write_judged_run(tmp_path / place, name=place) for place in ("first", "second"))
    done = report(one, two)
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[2:] == [
        "comparison: first/comparison-first-vs-second.html",
        "index: first/index.html",
    ]
    assert not Path("runs").exists()


def test_without_a_run_only_the_index_is_written(report: Report, folders: list[Path]) -> None:
    done = report()
    assert (done.code, done.out) == (0, "index: runs/index.html\n")
    assert not any(folder.joinpath("report.html").exists() for folder in folders)


def test_a_file_can_be_named(report: Report, folders: list[Path]) -> None:
    assert report(folders[0], "--to", "mine.html").code == 0
    assert Path("mine.html").is_file()
    assert not (folders[0] / "report.html").exists()
    assert report(*folders, "--to", "both.html").code == 0
    assert "one" in Path("both.html").read_text(encoding="utf-8")
    assert not list(Path("runs").glob("comparison-*"))


@pytest.mark.parametrize(
    ("lang", "name", "comparison", "word"),
    [
        ("en", "report.md", "MODEL_COMPARISON.md", "one"),
        ("zh", "report.zh.md", "MODEL_COMPARISON.zh.md", "对比"),
    ],
)
def test_markdown_in_both_languages(
    report: Report, folders: list[Path], lang: str, name: str, comparison: str, word: str
) -> None:
    done = report(*folders, "--format", "md", "--lang", lang)
    assert (done.code, done.err) == (0, "")
    assert all((folder / name).is_file() for folder in folders)
    assert word in Path("runs", comparison).read_text(encoding="utf-8")
    assert not list(Path("runs").rglob("report.html"))


def test_json_names_what_was_written(report: Report, folders: list[Path]) -> None:
    done = report(*folders, "--json")
    content = json.loads(done.out)
    assert [run["verdict"] for run in content["runs"]] == ["may NOT ship"] * 2
    assert [entry["what"] for entry in content["written"]] == ["run", "run", "comparison", "index"]
    assert all(Path(entry["path"]).is_file() for entry in content["written"])


def test_verdicts_under_other_criteria_do_not_count(report: Report, folders: list[Path]) -> None:
    Path("other.toml").write_text('[accuracy]\nmin_value = 0.5\nwhy = "x"\n')
    done = report(folders[0], "--gates", "other.toml", "--json")
    assert "judged under other criteria" in json.loads(done.out)["runs"][0]["verdict"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "There is no run 'nope'"),
        (["ONE", "--format", "pdf"], "--format is html or md"),
        (["ONE", "--lang", "fr", "--format", "md"], "--lang is en or zh"),
        (["--to", "x.html"], "The index always lies in"),
        (["ONE", "--to", "."], "is a folder"),
        (["ONE", "--to", "file/x.html"], "file/x.html cannot be written"),
        (["ONE", "--to", "nowhere/x.html"], "cannot be written: No such file"),
        (["ONE", "ONE"], "is named twice"),
        (["ONE", "--gates", "nope.toml"], "There is no nope.toml"),
        (["--runs", "nowhere"], "There is no folder nowhere"),
        (["ONE", "FEWER"], "different test sets"),
        (["CHANGED"], "has 0 of the run's 20 rows"),
    ],
)
def test_a_mistake_gets_one_message_and_nothing_is_written(
    report: Report, folders: list[Path], arguments: list[str], said: str
) -> None:
    one, changed = folders
    Path("file").write_text("x")
    run = read_run(one)
    fewer = write_run(replace(run, rows=run.rows[:-1]), Path("runs"))
    (changed / "predictions.jsonl").write_text("")
    names = {"ONE": one, "FEWER": fewer, "CHANGED": changed}
    done = report(*[names.get(argument, argument) for argument in arguments])
    assert (done.code, done.out) == (4, "")
    assert done.err.startswith("error: ")
    assert said in done.err
    assert "Traceback" not in done.err
    assert not list(Path("runs").rglob("report.*"))
    assert not Path("runs/index.html").exists()


def test_a_file_is_written_whole_or_not_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_text(tmp_path / "page.html", "old \ud800")
    assert path.read_text(encoding="utf-8") == "old ?"

    def full(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match="No space left on device"):
        write_text(path, "new")
    assert path.read_text(encoding="utf-8") == "old ?"
    assert list(tmp_path.iterdir()) == [path]


def test_a_comparison_is_named_for_what_it_compares(folders: list[Path]) -> None:
    one, two = (read_judged(folder) for folder in folders)
    assert comparison_name([one, two]) == "comparison-one-vs-two.html"
    assert comparison_name([one, two, one]) == (
        f"comparison-{one.name}-vs-{two.name}-and-{one.name}.html"
    )
    long = replace(two, evaluation=replace(two.evaluation, system="../" + "x" * 300))
    assert comparison_name([one, long]) == "comparison-one-vs-1-others.html"
    odd = replace(two, evaluation=replace(two.evaluation, system="../a b<c"))
    assert comparison_name([one, odd]) == "comparison-one-vs-.._a_b_c.html"


def test_a_page_of_a_run_needs_no_model(folders: list[Path]) -> None:
    code = (
        "import sys; from pathlib import Path\n"
        "from evalkit.reports.judged import read_judged\n"
        "from evalkit.reports.writing import write_index, write_report\n"
        "folder = Path(sys.argv[1])\n"
        "write_report(read_judged(folder)); write_index(folder.parent)\n"
        "print([m for m in ('torch', 'sklearn', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, folders[0]], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
