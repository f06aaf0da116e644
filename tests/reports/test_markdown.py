"""Markdown reports: what they say, in two languages, and that data stays text in them.

With EVALKIT_WRITE_GOLDEN=1 in the environment the golden files are written anew.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from evalkit.data import Kind, Match
from evalkit.evaluation import Evaluation, compare, evaluate
from evalkit.formats import get_format
from evalkit.gates import Outcome, Policy, Release, conclude, judge
from evalkit.locale import LANGUAGES, Lang, in_a_row, phrases, say
from evalkit.printable import printable
from evalkit.records import Completion, Example, FinishReason, Label
from evalkit.reports.compare import Pairing, compare_runs, comparison_to_json
from evalkit.reports.judged import JudgedRun
from evalkit.reports.render.markdown import MarkdownWords, to_markdown
from evalkit.reports.sections.comparison import comparison_blocks
from evalkit.reports.sections.run import run_markdown
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.reports.view import Code, Data, Paragraph, bullets, metric_name, table
from evalkit.run_record import RunRecord
from evalkit.runs.rows import row_to_json
from evalkit.tasks import load_task

GOLDEN = Path(__file__).parent / "golden"
KINDS = ("run", "comparison")
TASK = load_task("notifications-3level")
FOLDERS = ("Work", "Personal", "Promotions", "Alerts")
POLICIES = {
    "folder_accuracy": Policy(min_value=0.9, min_cases=20, why="the promise"),
    "folder_recall": Policy(min_value=0.75, min_cases=5, why="no folder is given up"),
    "priority_accuracy": Policy(min_value=0.5, min_cases=20, why="the goal"),
    "priority_recall": Policy(min_value=0.6, min_cases=15, why="no level is given up"),
    "parse_failure_rate": Policy(max_value=0.05, min_cases=20, why="each is lost"),
    "out_of_enum_rate": Policy(max_value=0.0, min_cases=20, why="it crashes"),
    "beats_tfidf": Policy(min_difference=0.0, min_cases=20, why="it is cheap"),
    "forgetting": Policy(max_value=0.1, why="nothing is lost", needs=("adapter",)),
    "flip_rate": Policy(max_value=0.1, why="no guesses"),
}
HOSTILE = st.one_of(
    st.text(min_size=1, max_size=30),
    st.text(alphabet="<>&[]()!`*_|\\#-+=1.) ~^$:/@wx\n\x1b\u202e", min_size=1, max_size=20),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "![a](b) [c](d) <http://e.f> http://g.h",
            "&lt;b&gt;",
            "1234. x",
            "# x",
            "---",
            "- [ ] x",
            "`a` ``b",
            "a|b|c\n|---|",
            "**a** __b__ ~~c~~",
            "\u202eabc\u2066 \u05d0\u05d1",
            "{0} {name} {",
            "```\ncode",
            " \u3000 ",
            "a" * 10_000,
        ]
    ),
)


def evaluation(
    name: str = "mine", *, wrong: int = 9, text: str = "word", trained: bool = True
) -> Evaluation:
    """Forty rows: `wrong` folders wrong, one answer unreadable, one out of enum, one row seen."""
    examples, completions = [], {}
    for i in range(40):
        labels: dict[str, Label] = {"folder": FOLDERS[i % 4], "priority": i % 3 + 1}
        inputs = dict.fromkeys(TASK.inputs, f"{text} {i}")
        key = f"{text} {i}"
        examples.append(Example(key, inputs, labels))
        said: dict[str, Any] = dict(labels)
        if i < wrong:
            said["folder"] = "Alerts" if i % 4 != 3 else "Work"
        if i % 5 == 0:
            said["priority"] = 1
        answer = json.dumps(said)
        if i == 11:
            answer = f"no answer: {text}"
        if i == 14:
            answer = json.dumps({"folder": text, "priority": 2})
        sure = {"folder": 0.5 + i / 100, "priority": 0.9 - i / 100}
        completions[key] = Completion(
            answer,
            FinishReason.STOP,
            (1, 2),
            prompt_tokens=7,
            seconds=0.25,
            confidences=sure,
        )
    record = {
        "base": f"pypi:{text}" if trained else "pypi:base",
        "weights_sha256": "aa11" * 16,
        "trained_sha256": {f"{text}.bin": "bb22" * 16} if trained else {},
        "quantization": "none",
        "format": "json",
        "task_sha256": TASK.fingerprint,
        "prompt_sha256": "cc33" * 16,
        "data": {
            "source": f"{text}.jsonl",
            "sha256": "dd44" * 16,
            "rows": 40,
            "label_mappings": {"priority": "five-level"},
            "notes": [f"a note: {text}"],
            "left_out": 3,
            "skipped": [{"where": "x:1", "why": "y"}],
        },
        "contamination": {"status": "checked", "trained_rows": 1234, "seen": {"exact": 1}},
        "engine": {"engine": "transformers", "dtype": text},
        "packages": {text: "2.13.0"},
        "machine": {"machine": text},
        "commit": "ee55" * 10,
        "dirty": True,
        "notes": [say("note.all_reused")],
        "unanswered": {"z": "the server was down"},
        "reused_rows": 17,
        "started": "2026-01-02T03:04:05+00:00",
        "seconds": {"load": 1.5, "answer": 62.25},
        "cost": {
            "seconds_per_row_p50": 0.0941,
            "seconds_per_row_p95": 1.3819,
            "rows_per_second": 3.742,
            "prompt_tokens": 99979,
            "generated_tokens": 6247,
            "peak_memory_bytes": {"process": 1549611008},
        },
        "predictions_sha256": "ff66" * 16,
    }
    seen = [None] * 39 + [Match(Kind.EXACT, 1.0)]
    fmt = get_format("json", TASK)
    return evaluate(
        name, TASK, fmt, examples, completions, record=RunRecord.model_validate(record), seen=seen
    )


def release(mine: Evaluation, text: str = "word", **changes: Any) -> Release:
    """Gates that pass, fail, are open, compare, and one worse than a baseline."""
    tfidf = replace(evaluation("tfidf", wrong=36), rows=evaluation(wrong=36, text=text).rows)
    before = replace(evaluation("before", wrong=0), rows=evaluation(wrong=0, text=text).rows)
    folder = mine.headline_metrics()[1]
    verdicts = [
        judge(
            "folder_accuracy",
            POLICIES["folder_accuracy"],
            mine.accuracy("folder"),
            regression=compare(mine, before, folder),
        ),
        *(
            judge(
                "folder_recall",
                POLICIES["folder_recall"],
                mine.recall("folder", value),
                slice_name=value,
            )
            for value in FOLDERS
        ),
        judge("priority_accuracy", POLICIES["priority_accuracy"], mine.accuracy("priority")),
        *(
            judge(
                "priority_recall",
                POLICIES["priority_recall"],
                mine.recall("priority", value),
                slice_name=str(value),
            )
            for value in (1, 2, 3)
        ),
        judge("parse_failure_rate", POLICIES["parse_failure_rate"], mine.parse_failure_rate()),
        judge(
            "out_of_enum_rate",
            POLICIES["out_of_enum_rate"],
            replace(mine.out_of_enum_rate(), weakest=in_a_row([text, "b", "c", "d"])),
            slice_name=text,
        ),
        judge("beats_tfidf", POLICIES["beats_tfidf"], compare(mine, tfidf, folder)),
        judge(
            text,
            POLICIES["priority_accuracy"].model_copy(update={"why": text, "min_value": 0.99}),
            mine.accuracy("priority"),
        ),
    ]
    made = conclude(
        "mine",
        "notifications",
        verdicts,
        POLICIES,
        broken=[f"test_{text}"],
        not_applicable={"forgetting": say("lacks.adapter", who="it")},
        faults=[f"a fault: {text}"],
    )
    return replace(made, **changes)


def judged(text: str = "word", **changes: Any) -> JudgedRun:
    mine = evaluation(text=text)
    return JudgedRun(Path("20260102T030405Z-mine"), mine, release(mine, text, **changes))


def base(text: str = "word") -> JudgedRun:
    its = evaluation("mine-base", wrong=30, text=text, trained=False)
    return JudgedRun(Path("20260101T030405Z-mine-base"), its, None, say("unjudged"))


@pytest.fixture(scope="module")
def run() -> JudgedRun:
    return judged()


@pytest.fixture(scope="module")
def english(run: JudgedRun) -> str:
    return run_markdown(run, "en", others=[base()])


def parsed(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def inline(tokens: list[Token]) -> Iterator[Token]:
    for token in tokens:
        yield from token.children or ()


def cells(text: str) -> list[list[str]]:
    """The text of every table row, headings too."""
    rows: list[list[str]] = []
    tokens = parsed(text)
    for place, token in enumerate(tokens):
        if token.type == "tr_open":
            rows.append([])
        if token.type in ("td_open", "th_open"):
            children = tokens[place + 1].children or ()
            rows[-1].append("".join(child.content for child in children))
    return rows


def shown(text: str) -> str:
    """All that a reader sees, in one line."""
    return " ".join(
        "".join(child.content for child in token.children or ())
        for token in parsed(text)
        if token.type == "inline"
    )


@pytest.mark.parametrize("lang", LANGUAGES)
@pytest.mark.parametrize("kind", KINDS)
def test_a_report_is_the_golden_one(run: JudgedRun, lang: Lang, kind: str) -> None:
    made = (
        run_markdown(run, lang, others=[base()])
        if kind == "run"
        else comparison_markdown([run, base()], lang)
    )
    path = GOLDEN / f"{kind}.{lang}.md"
    if os.environ.get("EVALKIT_WRITE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(made, encoding="utf-8")
    assert made == path.read_text(encoding="utf-8")


def test_all_that_can_be_shown_has_its_phrase() -> None:
    assert {f"diff.{key}" for key in evaluation().record.identity()} <= set(phrases("en"))
    assert {f"outcome.{outcome.value}" for outcome in Outcome} <= set(phrases("en"))
    words = MarkdownWords("zh")
    for name in ("notifications-3level", "intents"):
        its = replace(evaluation(), task=load_task(name))
        for metric in (*its.usual_metrics(), *its.slice_metrics()):
            said = words.cell(metric_name(metric, its.task.fields))
            assert re.search(r"[\u4e00-\u9fff]", said), metric.name


def test_the_verdict_is_the_releases(run: JudgedRun) -> None:
    said = {"en": "**mine may NOT ship: ", "zh": "**mine 不可发布："}
    for lang in LANGUAGES:
        assert said[lang] in run_markdown(run, lang)
    assert run.release
    good = replace(
        run.release,
        verdicts=tuple(v for v in run.release.verdicts if v.outcome == "pass"),
        not_judged=(),
        faults=(),
        regressions=(),
    )
    assert "**mine may ship: all 4 gates passed.**" in run_markdown(
        replace(run, release=good), "en"
    )
    part = run_markdown(replace(run, release=replace(good, partial=True)), "en")
    assert "**mine: 4 of 4 gates passed. Only some tests were chosen, so " in part
    none = run_markdown(replace(run, release=None, why_none=say("unjudged")), "zh")
    assert "**没有发布结论：尚未评判。**" in none


def test_the_weakest_value_stands_below_its_field(run: JudgedRun, english: str) -> None:
    section = english.split("### folder\n")[1].split("###")[0]
    (line,) = [line for line in section.splitlines() if line.startswith("Lowest recall")]
    scores = [s for s in run.evaluation.label_scores("folder") if s.recall]
    worst = min(scores, key=lambda s: s.recall.value)  # type: ignore[union-attr]
    assert worst.recall
    assert f"Lowest recall: {worst.value}, {worst.recall.value:.1%}" in line
    assert f"({worst.recall.successes} of {worst.recall.n} rows)" in line
    assert line.endswith("most often read as Work (2 rows).")


def test_the_surest_wrong_answers_come_first(run: JudgedRun, english: str) -> None:
    section = english.split("### folder: ")[1].split("###")[0]
    sure = [float(row[-1]) for row in cells(section)[1:]]
    wrong = [
        row.completion.confidences["folder"]
        for row in run.evaluation.clean_rows
        if not row.is_right("folder")
    ]
    assert sure == pytest.approx(sorted(wrong, reverse=True)[:5], abs=0.005)
    assert "unreadable: no answer: word" in section
    assert "out of enum: word" in section


def test_a_gate_stands_beside_the_number_that_it_judged(english: str) -> None:
    rows = {row[0]: row[-1] for row in cells(english.split("## Per-value")[0])}
    assert rows["folder accuracy"].startswith("folder_accuracy ≥ 90%: fail")
    assert rows["parse failures"].startswith("parse_failure_rate ≤ 5%: pass")
    assert rows["format violations"] == "–"
    assert rows["out of enum"].startswith("out_of_enum_rate[word] = 0: fail")


def renderings(value: float) -> Iterator[str]:
    for number in (value, 100 * value, 1000 * value, value / 1e9):
        for form in (",.0f", ",.1f", ".2f", ".3f", ".4g"):
            yield format(abs(number), form)


def numbers_in(found: Any) -> Iterator[float | str]:
    """Every number of a JSON document, the lengths of its lists, and what is in its texts."""
    if isinstance(found, dict):
        for key, value in found.items():
            yield from numbers_in(key)
            yield from numbers_in(value)
    elif isinstance(found, list | tuple):
        yield len(found)
        for value in found:
            yield from numbers_in(value)
    elif isinstance(found, str):
        yield from re.findall(NUMBER, found)
    elif isinstance(found, int | float) and not isinstance(found, bool):
        yield found


NUMBER = r"\d[\d,]*(?:\.\d+)?"


@pytest.mark.parametrize("lang", LANGUAGES)
def test_every_number_is_of_the_record_or_the_verdicts(run: JudgedRun, lang: Lang) -> None:
    assert run.release
    other = base()
    by_outcome = {o: [v.label for v in run.release.of(o)] for o in Outcome}
    fields = TASK.fields
    known = [
        run.evaluation.record.to_json(),
        other.evaluation.record.to_json(),
        TASK.model_dump(mode="json"),
        verdicts_to_json(run.release, run.evaluation, "c"),
        comparison_to_json(Pairing(run.evaluation, other.evaluation)),
        [row_to_json(row) for row in run.evaluation.rows],
        by_outcome,
        [[v for v in run.release.verdicts if v.gate == gate] for gate in POLICIES],
        [[v.label for v in run.release.of(Outcome.FAIL) if v.gate == gate] for gate in POLICIES],
        [[r for r in run.evaluation.clean_rows if not r.is_right(f)] for f in fields],
        [run.evaluation.clean_rows, run.name, other.name],
    ]
    # 95% intervals, F1, SHA-256, percentiles, p below 0.001, two coverages, samples, and how the
    # date is written.
    allowed = {"95", "1", "256", "50", "80", "0.001", "5", "2026", "01", "02", "03", "04"}
    for number in numbers_in(known):
        allowed |= {number} if isinstance(number, str) else set(renderings(number))
    text = shown(run_markdown(run, lang, others=[other]))
    strange = {n for n in re.findall(NUMBER, text) if n.rstrip(",") not in allowed}
    assert strange == set()
    assert len(set(re.findall(NUMBER, text))) > 100


@pytest.mark.parametrize(
    ("path", "value", "as_shown"),
    [
        (("base",), "another", "another"),
        (("weights_sha256",), "0123", "0123"),
        (("trained_sha256",), {"f.bin": "4567"}, "SHA-256 of f.bin 4567"),
        (("quantization",), "nf4", "nf4"),
        (("prompt_sha256",), "89ab", "89ab"),
        (("task_sha256",), "cdef", "cdef"),
        (("data", "sha256"), "abcd", "abcd"),
        (("data", "source"), "here.csv", "40 of here.csv"),
        (("data", "left_out"), 4321, "left out of this run: 4,321"),
        (("data", "label_mappings"), {"priority": "ten"}, "Label mapping of priority ten"),
        (("contamination", "trained_rows"), 8765, "8,765 training rows"),
        (("contamination",), {"status": "unknown", "why": "lost"}, "Unknown: lost"),
        (("contamination",), {"status": "untrained"}, "has no training of its own"),
        (("engine", "dtype"), "float8", "dtype float8"),
        (("packages",), {"torch": "9.9"}, "torch 9.9"),
        (("machine",), {"system": "Plan9"}, "system Plan9"),
        (("commit",), "c0ffee", "c0ffee, with changes"),
        (("predictions_sha256",), "feed", "feed"),
        (("started",), "2031-05-06T07:08:09+00:00", "2031-05-06 07:08"),
        (("reused_rows",), 33, "33 of 40 answers"),
        (("seconds", "load"), 98.7, "Seconds to load 98.7"),
        (("cost", "rows_per_second"), None, "Rows per second –"),
        (("cost", "generated_tokens"), 7654321, "7,654,321"),
        (("cost", "seconds_per_row_p95"), 0.4567, "456.7"),
        (("cost", "peak_memory_bytes"), {"gpu": 7.7e9}, "Peak memory (gpu) 7.7 GB"),
        (("notes",), ["odd"], "Note of the run: odd."),
        (("unanswered",), {"a": "", "b": ""}, "were not answered, and are in no number: 2"),
    ],
)
def test_what_the_record_says_is_what_is_shown(
    run: JudgedRun, english: str, path: tuple[str, ...], value: Any, as_shown: str
) -> None:
    record = json.loads(json.dumps(run.evaluation.record.to_json()))
    place = record
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    record = RunRecord.model_validate(record)
    changed = replace(run, evaluation=replace(run.evaluation, record=record))
    assert as_shown in shown(run_markdown(changed, "en"))
    assert as_shown not in shown(english)


@pytest.fixture(scope="module")
def skeletons() -> dict[tuple[str, Lang], list[str]]:
    """The blocks of reports whose data is a plain word."""
    return {
        (kind, lang): skeleton(report(kind, "word", lang)) for lang in LANGUAGES for kind in KINDS
    }


def comparison_markdown(runs: list[JudgedRun], lang: Lang) -> str:
    return to_markdown(comparison_blocks(compare_runs(runs)), lang)


def report(kind: str, text: str, lang: Lang) -> str:
    """A report on runs all of whose texts are this one."""
    run, other = judged(text), base(text)
    named = replace(run, evaluation=replace(run.evaluation, system=text))
    if kind == "run":
        return run_markdown(named, lang, others=[other])
    return comparison_markdown([named, other], lang)


def skeleton(text: str) -> list[str]:
    return [f"{'  ' * token.level}{token.type} {token.markup}" for token in parsed(text)]


@settings(max_examples=12, deadline=None)
@given(HOSTILE, st.sampled_from(LANGUAGES), st.sampled_from(KINDS))
def test_data_changes_nothing_but_text(
    skeletons: dict[tuple[str, Lang], list[str]], text: str, lang: Lang, kind: str
) -> None:
    made = report(kind, text, lang)
    assert skeleton(made) == skeletons[kind, lang]
    found = list(inline(parsed(made)))
    assert {t.type for t in found} <= {
        *("text", "text_special", "code_inline", "strong_open", "strong_close")
    }
    codes = [t.content for t in found if t.type == "code_inline"]
    assert [c for c in codes if not re.fullmatch(r"[\w.\[\] -]+", c, re.ASCII)] == []
    assert not {c for c in made if c < " " and c != "\n"} | ({"\u202e"} & set(made))
    for row in samples(made) if len(text) < 30 else ():
        number = row[0].rpartition(" ")[2]
        assert row[1:4] == [printable(f"{text} {number}").strip()] * 3


def samples(report: str) -> list[list[str]]:
    """The rows of the tables of wrong answers."""
    return [row for row in cells(report) if len(row) == 7 and re.fullmatch(r"[01]\.\d\d", row[-1])]


def test_wrong_answers_are_found_by_the_test_above() -> None:
    assert len(samples(run_markdown(judged("<b>"), "en"))) == 10


@given(HOSTILE)
@example(" -")
@example("     - x")
@example("  1. x")
def test_a_text_reads_as_itself_wherever_it_stands(text: str) -> None:
    said = printable(text, 300)
    made = to_markdown(
        [
            Paragraph(text),
            *bullets([Data(text, 300)]),
            *table(["x", "y"], [[text, Code(text)]]),
        ]
    )
    found = [token for token in parsed(made) if token.type == "inline"]
    read = ["".join(child.content for child in token.children or ()) for token in found]
    wanted = [said, said, "x", "y", said, said]
    assert [one for one in read if one] == [one.strip() for one in wanted if one.strip()]


def test_the_run_before_is_called_so_and_what_is_worse_too(run: JudgedRun) -> None:
    record = run.evaluation.record.having(started="2025-12-24T18:00:00+00:00")
    before = replace(run, evaluation=replace(evaluation(wrong=0), record=record))
    section = run_markdown(run, "en", others=[before]).split("### Against the run before: mine")[1]
    rows = {row[0]: row[-1] for row in cells(section.split("## Error")[0])}
    assert section.startswith(", 2025-12-24 18:00 UTC")
    assert (rows["folder accuracy"], rows["priority accuracy"]) == ("worse", "not shown")
    assert "What differs: nothing that is recorded" in section


def test_sets_of_values_are_counted_as_they_were_mistaken() -> None:
    task = load_task("intents")
    labels = [("payment", "user_auth")] * 3 + [("none",)] * 2
    texts = ["payment"] * 3 + ["none", "payment, nonsense"]
    examples = [
        Example(str(i), {"prompt": "x"}, {"intents": label}) for i, label in enumerate(labels)
    ]
    said = {str(i): Completion(text, FinishReason.STOP) for i, text in enumerate(texts)}
    fmt = get_format("labels", task)
    record = {"started": "2026-01-02T03:04:05+00:00"}
    its = evaluate("sets", task, fmt, examples, said, record=RunRecord.model_validate(record))
    made = run_markdown(JudgedRun(Path("x"), its, None, say("unjudged")), "en")
    by_label = {row[0]: row[1:] for row in cells(made) if len(row) == 4}
    # Had by three rows, and the last answer is out of the enum: it names nothing.
    assert (by_label["payment"], by_label["user_auth"]) == (["3", "0", "0"], ["0", "3", "0"])
    found = cells(made.split("The most frequent wrong answers:")[1].split("## Comp")[0])
    assert found[1:] == [["payment, user_auth", "payment", "3"], ["none", "out of enum", "1"]]
    lowest = "Lowest recall: user_auth, 0.0% (0 of 3 rows), most often read as payment (3 rows)."
    assert lowest in shown(made)
    assert "The first 4 wrong answers; the system gives no confidence:" in made
    assert "it was not judged. Judge it: `evalkit gate x`" in made


def test_what_may_be_released_is_what_may_ship(run: JudgedRun) -> None:
    def said(*ships: bool) -> str:
        assert run.release
        passed = tuple(v for v in run.release.verdicts if v.outcome == "pass")
        good = Release("x", passed, (), False)
        runs = [
            replace(
                run,
                folder=Path(f"run-{place}"),
                evaluation=evaluation("mine", wrong=20 * place),
                release=good if may else run.release,
            )
            for place, may in enumerate(ships)
        ]
        return comparison_markdown(runs, "en").split("## Systems")[0]

    assert "release none of them" in said(False, False)
    assert "only run-1 can be released" in said(False, True)
    both = said(True, True)
    assert "any of these can be released: run-0, run-1" in both
    assert "run-0 is significantly better than run-1" in both
