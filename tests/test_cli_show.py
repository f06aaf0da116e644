"""`evalkit show`, `errors` and `runs`, as their user meets them; `--json` on every command."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import gate_imports  # noqa: F401
from command_line import evalkit
from evalkit.cli import app, main
from evalkit.data import Kind, Match
from evalkit.data.loading import hash_examples
from evalkit.data.nearest import nearest
from evalkit.evaluation import Evaluation, evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, Release, conclude, judge, load_policies, policies_sha256
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.history import summarise
from evalkit.reports.judged import read_judged
from evalkit.reports.sections.run import run_sections
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.run_record import RunRecord
from evalkit.runs import read_run, write_run, write_verdicts
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
INTENTS = load_task("intents")
HOSTILE = "\x1b]0;owned\x07\x1b[2J\u202egnp.exe\u2066 <b>\r\n\ud800 [red]x[/red]"
"""A title, a cleared screen, right-to-left marks, line breaks, a lone surrogate, rich's markup."""
POLICIES = {
    "accuracy": Policy(min_value=0.8, min_cases=5, why="x"),
    "few": Policy(max_value=0.1, min_cases=500, why="y"),
}

Cli = Callable[..., tuple[int, str, str]]


@pytest.fixture
def cli(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Cli:
    """Run a command on the runs in `tmp_path / "runs"`: its exit code, output and errors."""
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.chdir(tmp_path)  # where no criteria are in force

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["evalkit", *arguments, "--runs", str(tmp_path / "runs")])
        with pytest.raises(SystemExit) as stop:
            main()
        said = capsys.readouterr()
        return int(str(stop.value.code)), said.out, said.err

    return run


def strict(text: str) -> Any:
    """Parse JSON, without what only Python takes for JSON."""

    def refuse(constant: str) -> None:
        raise AssertionError(f"{constant} is not JSON")

    return json.loads(text, parse_constant=refuse)


def made(name: str = "mine", *, n: int = 30, text: str = "text") -> Evaluation:
    """Every third row says priority 1 for 2, the later the more confidently; one is unreadable."""
    examples, completions = [], {}
    for i in range(n):
        inputs = dict.fromkeys(TASK.inputs, f"{text} {i}")
        examples.append(Example(str(i), inputs, {"folder": "Work", "priority": 2}))
        said = json.dumps({"folder": "Work", "priority": 2 if i % 3 else 1})
        completions[str(i)] = Completion(
            said, FinishReason.STOP, confidences={"folder": 0.5, "priority": 0.5 + i / 100},
            margin=i / 10,
        )  # fmt: skip
    completions["1"] = Completion(text, FinishReason.STOP)
    seen = [Match(Kind.EXACT, 1.0), *[None] * (n - 1)]
    fmt = get_format("json", TASK)
    record = {
        "format": "json",
        "started": "2026-01-02T03:04:05+00:00",
        "commit": "abc",
        "notes": [text],
        "data": {
            "source": text,
            "sha256": hash_examples(examples),
            "rows": n,
            "notes": [],
            "left_out": 0,
        },
        "seconds": {"load": 1.0, "answer": 2.0},
        "contamination": {"status": "checked", "trained_rows": 9, "seen": {"exact": 1}},
        "cost": {
            "rows_per_second": None,
            "seconds_per_row_p50": 0.1,
            "seconds_per_row_p95": 0.2,
            "prompt_tokens": 1,
            "generated_tokens": 2,
            "peak_memory_bytes": {},
        },
    }
    return evaluate(
        name, TASK, fmt, examples, completions, record=RunRecord.model_validate(record), seen=seen
    )


def release(of: Evaluation, slice_name: str = "") -> Release:
    accuracy = of.accuracy("priority")
    verdicts = [
        judge("accuracy", POLICIES["accuracy"], accuracy, slice_name=slice_name),
        judge("few", POLICIES["few"], of.parse_failure_rate()),
    ]
    return conclude(of.system, "notifications", verdicts, POLICIES)


def store(runs: Path, of: Evaluation, *, judged: bool = True, slice_name: str = "") -> Path:
    folder = write_run(of, runs)
    if judged:
        read = read_run(folder)
        write_verdicts(folder, verdicts_to_json(release(read, slice_name), read, "c"))
    return folder


def harmful(text: str) -> list[str]:
    return [c for c in text if c != "\n" and unicodedata.category(c) in ("Cc", "Cf", "Cs")]


# show


def test_show_says_what_was_judged_and_what_went_wrong(cli: Cli, tmp_path: Path) -> None:
    folder = store(tmp_path / "runs", made())
    code, out, err = cli("show", folder.name)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0] == "mine: may NOT ship"
    assert lines[1] == f"run {folder.name}, 2026-01-02 03:04 UTC, commit abc"
    assert lines[2] == "mine may NOT ship: 1 of 2 gates failed, 1 inconclusive."
    assert lines[3].startswith("Misses priority 1 time in 3 (65.5%, needs ")
    priority = out.partition("\npriority\n")[2]
    # 29 clean rows: 9 said 1, one is unreadable, 19 are right.
    scores = next(x for x in priority.splitlines() if x.startswith(" 2 (medium)  100"))
    assert scores.split() == [
        *("2", "(medium)", "100.0%", "(83.2-100.0)", "65.5%", "(47.3-80.1)"),
        *("79.2%", "(63.5-89.3)", "29"),
    ]
    matrix = priority.partition("right value")[2].splitlines()
    assert matrix[0].split()[2:] == ["1", "(low)", "2", "(medium)", "3", "(high)", "unreadable"]
    assert matrix[3].split()[-4:] == ["9", "19", "0", "1"]
    assert "80-90%" not in priority
    assert "5 of 11 rows with a wrong priority, the most confident first:" in priority
    worst = priority.partition("confident first:\n")[2].splitlines()
    assert " ".join(worst[0].split()) == (
        "77.0% 27 priority: predicted low, right is medium margin 2.70"
    )
    assert "note: text" in out


def test_tables_fit_80_columns_and_piped_text_is_plain(cli: Cli, tmp_path: Path) -> None:
    name = store(tmp_path / "runs", made(text="a long text of many words " * 9)).name
    for arguments in (["show", name], ["errors", name], ["runs"]):
        _, out, _ = cli(*arguments)
        assert "\x1b" not in out
        # Sentences stay on one line, so that they can be searched for.
        tables = [x for x in out.splitlines() if re.match(r" |\d\d\.\d%", x)]
        assert tables
        assert max(map(len, tables)) <= 80, arguments


def test_show_speaks_chinese(cli: Cli, tmp_path: Path) -> None:
    name = store(tmp_path / "runs", made()).name
    code, out, _ = cli("show", name, "--lang", "zh")
    assert code == 0
    assert "门禁" in out
    assert "召回率最低的取值：2 (medium)，65.5%（29 条中对 19 条）" in out
    assert "未通过 ~" in out
    assert cli("show", name, "--lang", "fr")[0] == 4


def test_show_without_verdicts_measures_all_the_same(cli: Cli, tmp_path: Path) -> None:
    name = store(tmp_path / "runs", made(), judged=False).name
    code, out, _ = cli("show", name, "--field", "priority")
    assert code == 0
    assert out.startswith("mine: no verdict: it was not judged\n")
    assert re.search(r"priority accuracy +65.5% +29 +47.3-80.1", out)
    assert "\nfolder\n" not in out


def test_show_as_json_has_the_gates_and_the_worst_cases(cli: Cli, tmp_path: Path) -> None:
    name = store(tmp_path / "runs", made()).name
    _, out, _ = cli("show", name, "--json")
    found = strict(out)
    assert (found["verdict"], found["may_ship"]) == ("may NOT ship", False)
    assert [gate["gate"] for gate in found["gates"]] == ["accuracy", "few"]
    assert found["measured"]["priority accuracy"]["successes"] == 19
    assert [case["id"] for case in found["fields"]["priority"]["worst"]] == [
        "27", "24", "21", "18", "15"
    ]  # fmt: skip
    bare = strict(cli("show", store(tmp_path / "runs", made("x"), judged=False).name, "--json")[1])
    assert (bare["may_ship"], bare["gates"]) == (None, [])
    assert list(bare) == list(found)
    (gates,) = (block for block in found["sections"]["gates"] if "rows" in block)
    first = dict(zip(gates["columns"], gates["rows"][0], strict=True))
    judged = found["gates"][0]
    assert (first["Gate"], first["Verdict"], first["n"]) == ("accuracy", "fail", 29)
    assert first["Value"] == judged["estimate"]["value"]
    assert first["95% interval"] == [judged["estimate"][end] for end in ("low", "high")]
    assert {*found["sections"]} == {*run_sections(read_judged(Path(found["folder"])))}


def test_show_of_many_values_lists_the_commonest_confusions(cli: Cli, tmp_path: Path) -> None:
    fmt = get_format("labels", INTENTS)
    examples = [
        Example(str(i), {"prompt": f"p{i}"}, {"intents": ("payment", "inventory")})
        for i in range(9)
    ]
    said = ["payment"] * 4 + ["nonsense"] * 3 + ["payment, inventory"] * 2
    completions = {str(i): Completion(text, FinishReason.STOP) for i, text in enumerate(said)}
    record = made().record.having(format="labels")
    of = evaluate("mine", INTENTS, fmt, examples, completions, record=record)
    name = store(tmp_path / "runs", of, judged=False).name
    _, out, _ = cli("show", name)
    rows = [x.split() for x in out.partition("expected ")[2].splitlines()[2:4]]
    assert rows[0][-2:] == ["payment", "4"]
    assert rows[1][-1] == "3"
    assert "7 rows with a wrong intents" in out
    _, out, _ = cli("errors", name, "--said", "payment", "--json")
    assert strict(out)["wrong"] == 4


# errors


def pages(cli: Cli, *arguments: str) -> Iterator[dict[str, Any]]:
    number = 1
    while True:
        found = strict(cli("errors", *arguments, "--page", str(number), "--json")[1])
        yield found
        if number == found["pages"]:
            return
        number += 1


def test_pages_hold_every_mistake_once_the_surest_first(cli: Cli, tmp_path: Path) -> None:
    name = store(tmp_path / "runs", made()).name
    found = list(pages(cli, name, "--per-page", "4", "--field", "priority"))
    assert [len(page["errors"]) for page in found] == [4, 4, 3]
    assert {page["wrong"] for page in found} == {11}
    cases = [case for page in found for case in page["errors"]]
    assert [case["id"] for case in cases] == [
        "27", "24", "21", "18", "15", "12", "9", "6", "3", "0", "1"
    ]  # fmt: skip
    assert cases[-1]["said"]["priority"] == "unreadable"
    assert cases[-1]["margin"] is None
    assert cases[-2]["repeats_training_row"] is True
    assert cases[0]["right"] == {"folder": "Work", "priority": 2}
    _, out, _ = cli("errors", name, "--field", "priority", "--per-page", "4", "--page", "3")
    assert out.startswith("mine: 11 of 30 rows with a wrong priority, the most confident first:\n")
    assert "53.0%  3  priority: predicted low, right is medium  margin 0.30" in out
    assert "repeats a training row" in " ".join(out.split())
    assert out.rstrip().endswith("page 3 of 3; --page N for others")


@pytest.mark.parametrize(
    ("chosen", "ids"),
    [
        (["--said", "unreadable"], ["1"]),
        (["--said", "low", "--right", "medium"], ["27", "24"]),
        (["--said", "1", "--right", "2"], ["27", "24"]),
        (["--right", "high"], []),
        (["--said", "missing"], []),
    ],
)
def test_mistakes_are_chosen_by_what_was_said_and_right(
    cli: Cli, tmp_path: Path, chosen: list[str], ids: list[str]
) -> None:
    name = store(tmp_path / "runs", made()).name
    _, out, _ = cli("errors", name, "--field", "priority", *chosen, "--per-page", "2", "--json")
    assert [case["id"] for case in strict(out)["errors"]] == ids


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["show", "--field", "priorty"], "Did you mean 'priority'?"),
        (["errors", "--field", "priorty"], "Did you mean 'priority'?"),
        (["errors", "--said", "low"], "Add --field with one of: folder, priority"),
        (["errors", "--field", "folder", "--right", "Wrok"], "Did you mean 'Work'?"),
        (["errors", "--field", "folder", "--right", "missing"], "--right missing"),
        (["errors", "--page", "9"], "11 errors make 1 pages"),
        (["errors", "--data", "no-such.jsonl"], "no-such.jsonl"),
    ],
)
def test_a_users_mistake_gets_one_message(
    cli: Cli, tmp_path: Path, arguments: list[str], message: str
) -> None:
    command, *options = arguments
    name = store(tmp_path / "runs", made()).name
    code, out, err = cli(command, name, *options)
    assert (code, out) == (4, "")
    assert message in err
    assert "Traceback" not in err


def test_the_nearest_training_rows_stand_under_an_error(cli: Cli, tmp_path: Path) -> None:
    name = store(tmp_path / "runs", made(text="the parcel waits at gate")).name
    rows = [
        {"id": "far", "notification": {"app": "q", "title": "w", "body": "zzz"},
         "classification": {"folder": "Alerts", "priority": 3}},
        {"id": "near", "notification": {"app": "the parcel", "title": "waits", "body": "at gate 5"},
         "classification": {"folder": "Alerts", "priority": 1}},
    ]  # fmt: skip
    data = tmp_path / "train.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    options = ("errors", name, "--data", str(data), "--per-page", "1", "--mapping", "none")
    (case,) = strict(cli(*options, "--json")[1])["errors"]
    assert [near["id"] for near in case["nearest"]] == ["near"]
    assert case["nearest"][0]["labels"] == {"folder": "Alerts", "priority": 1}
    assert 0 < case["nearest"][0]["similarity"] < 1
    _, out, _ = cli(*options)
    assert "alike, labelled Alerts, low the parcel | waits | at gate 5" in " ".join(out.split())


texts = st.lists(st.text("ab cd", min_size=1, max_size=9), min_size=1, max_size=6)


@given(texts, texts, st.integers(1, 4))
def test_the_nearest_rows_are_those_that_every_pair_would_show(
    asked: list[str], known: list[str], most: int
) -> None:
    def examples(found: list[str]) -> list[Example]:
        return [Example(str(i), {"x": text}, {}) for i, text in enumerate(found)]

    def pieces(text: str) -> set[str]:
        text = " ".join(text.split())
        return {text[i : i + 3] for i in range(max(1, len(text) - 2))}

    for text, near in zip(asked, nearest(examples(asked), examples(known), most), strict=True):
        one = pieces(text)
        likeness = [len(one & pieces(k)) / len(one | pieces(k)) for k in known]
        order = sorted(range(len(known)), key=lambda i: -likeness[i])
        expected = [(str(i), likeness[i]) for i in order if likeness[i] > 0][:most]
        assert [(n.example.id, n.similarity) for n in near] == expected


def test_a_run_judged_by_other_criteria_than_those_in_force_says_so(
    cli: Cli, tmp_path: Path
) -> None:
    gates = tmp_path / "suites" / "gates.toml"
    gates.parent.mkdir()
    gates.write_text("[accuracy]\nmin_value = 0.5\nmin_cases = 5\nwhy = 'x'\n")
    name = write_run(made(), tmp_path / "runs").name
    mine, policies = read_run(tmp_path / "runs" / name), load_policies(gates)
    verdict = judge("accuracy", policies["accuracy"], mine.accuracy("priority"))
    passed = conclude("mine", "notifications", [verdict], policies)
    content = verdicts_to_json(passed, mine, policies_sha256(policies))
    write_verdicts(tmp_path / "runs" / name, content)

    def told() -> tuple[str, list[bool]]:
        data = [strict(cli("show", name, "--json")[1]), *strict(cli("runs", "--json")[1])]
        verdict = cli("show", name)[1].splitlines()[2]
        return verdict, [found["by_other_criteria"] for found in data]

    assert told() == ("mine may ship: the one gate passed.", [False, False])
    gates.write_text(gates.read_text().replace("0.5", "0.9"))
    verdict, by_others = told()
    assert by_others == [True, True]
    assert verdict.startswith("mine may ship: the one gate passed; it was judged by other criteria")
    assert f"`evalkit gate {name}`" in verdict
    assert f"judges: {name}" in cli("runs")[1]
    assert cli("report")[0] == 0
    assert "by other criteria" in (tmp_path / "runs" / "index.html").read_text()


# runs


def test_runs_lists_what_is_judged_unjudged_and_unreadable(cli: Cli, tmp_path: Path) -> None:
    runs = tmp_path / "runs"
    judged = store(runs, made())
    unjudged = store(runs, made("other"), judged=False)
    stale = store(runs, made("stale"))
    verdicts = json.loads((stale / "verdicts.json").read_text())
    write_verdicts(stale, verdicts | {"predictions_sha256": "0"})
    changed = store(runs, made("changed"))
    path = changed / "record.json"
    path.write_text(path.read_text().replace('"abc"', '"abd"'))
    (runs / "20200101T000000Z-old").mkdir()
    (runs / "20200101T000000Z-old" / "record.json").write_text('{"schema": 1}')
    _, out, _ = cli("runs", "--json")
    found = {run["run"]: run for run in strict(out)}
    assert found[judged.name]["verdict"] == "may NOT ship"
    assert found[judged.name]["measured"]["priority accuracy"]["n"] == 29
    assert found[judged.name]["gates"][0]["outcome"] == "fail"
    assert found[judged.name]["gates"][0]["threshold"] == 0.8
    assert found[unjudged.name]["verdict"] == "no verdict: it was not judged"
    assert "of other predictions" in found[stale.name]["verdict"]
    assert found[stale.name]["gates"] == []
    assert "was changed after the run" in found[changed.name]["why_unreadable"]
    assert "schema 1" in found["20200101T000000Z-old"]["why_unreadable"]
    code, out, _ = cli("runs")
    assert code == 0
    table = [line.split()[1:] for line in out.splitlines()]
    assert ["mine", "30", "may", "NOT", "ship", "65.5%", "96.6%", "65.5%"] in table
    assert out.count(" cannot be read: ") == 2
    assert "no verdict: it was not judged (runs: 1)" in out
    code, out, _ = cli("runs", "--system", "other", "--json")
    assert [run["run"] for run in strict(out)] == [unjudged.name]
    code, _, err = cli("runs", "--system", "othr")
    assert code == 4
    assert "Did you mean 'other'?" in err


def test_no_runs_is_no_mistake(cli: Cli) -> None:
    assert cli("runs")[0] == 0
    assert strict(cli("runs", "--json")[1]) == []


def test_the_short_name_of_a_run_finds_it(cli: Cli, tmp_path: Path) -> None:
    folder = store(tmp_path / "runs", made())
    other = store(tmp_path / "runs", made("other"))
    other.rename(other.with_name("20200101T000000Z-other"))
    _, out, _ = cli("runs")
    names = [line.split()[0] for line in out.splitlines() if line[:3] == " 20"]
    assert names == ["20200101T000000Z", folder.name.partition("-")[0]]
    for name in names:
        assert cli("show", name)[0] == 0


def test_a_name_that_many_runs_begin_with_names_the_newest(cli: Cli, tmp_path: Path) -> None:
    for number in range(8):
        path = tmp_path / "runs" / f"2026010{number}T000000Z-mine" / "record.json"
        path.parent.mkdir(parents=True)
        path.touch()
    code, _, err = cli("show", "2026")
    assert code == 4
    lines = [line.strip() for line in err.splitlines()]
    assert "8 runs" in lines[0]
    assert lines[1:] == [*(f"2026010{n}T000000Z-mine" for n in (7, 6, 5, 4, 3)), "and 3 older"]


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["schema", "gates", "measured", "partial", "may_ship", "asked_sha256",
                         "predictions_sha256", "started", "rows", "task", "data"]), inner),
    max_leaves=8,
)  # fmt: skip


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(json_values, st.sampled_from(["record.json", "verdicts.json"]), st.booleans())
def test_whatever_lies_in_a_run_the_others_are_listed(
    tmp_path: Path, content: Any, name: str, merge: bool
) -> None:
    runs = tmp_path / "runs"
    if not runs.exists():
        store(runs, made("first"))
        store(runs, made("second"))
        for kept in ("record.json", "verdicts.json"):
            (next(runs.glob("*-second")) / f"{kept}.kept").write_bytes(
                (next(runs.glob("*-second")) / kept).read_bytes()
            )
    second = next(runs.glob("*-second"))
    whole = {k: (second / f"{k}.kept").read_text() for k in ("record.json", "verdicts.json")}
    for kept, text in whole.items():
        (second / kept).write_text(text)
    if merge and isinstance(content, dict):
        content = json.loads(whole[name]) | content
    (second / name).write_text(json.dumps(content))
    found = {run.name: run for run in summarise(runs)}
    assert len(found) == 2
    assert all(run.why_unreadable or run.verdict for run in found.values())


# A terminal


def test_in_a_terminal_enter_turns_the_page_and_q_stops(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = store(tmp_path / "runs", made()).name
    keys = iter(["", "q"])
    monkeypatch.setattr("builtins.input", lambda prompt: next(keys))
    # The package has the command under its module's name.
    monkeypatch.setattr("evalkit.cli.show.at_terminal", lambda: True)
    _, out, _ = cli("errors", name, "--field", "priority", "--per-page", "4")
    assert "page 1 of 3" in out
    assert "page 2 of 3" in out
    assert "page 3 of 3" not in out


# gate --json


def test_a_gate_prints_its_verdicts_as_json_and_the_rest_aside(pytester: pytest.Pytester) -> None:
    runs, suites = pytester.path / "runs", pytester.path / "suites"
    suites.mkdir()
    (suites / "gates.toml").write_text('[accuracy]\nmin_value = 0.5\nmin_cases = 5\nwhy = "x"\n')
    (suites / "test_it.py").write_text(
        "def test_it(evaluation, gate):\n    gate('accuracy', evaluation.accuracy('priority'))\n"
    )
    folder = store(runs, replace(made(), record=made().record.having(abilities=[])))

    def gate() -> tuple[int, Any]:
        arguments = ["gate", folder.name, "--suites", "suites", "--json"]
        done = evalkit(*arguments, cwd=pytester.path)
        return done.returncode, strict(done.stdout)

    code, found = gate()
    assert (code, found["may_ship"], len(found["gates"])) == (0, True, 1)
    predictions = folder / "predictions.jsonl"
    predictions.write_bytes(predictions.read_bytes().replace(b"text 5", b"text 6"))
    # The verdicts of before are there still, and hold no more.
    code, found = gate()
    assert code != 0
    assert found is None


# Hostile text


@pytest.mark.parametrize("command", [["show"], ["errors"], ["runs"]])
def test_no_control_character_of_a_run_reaches_the_terminal(
    cli: Cli, tmp_path: Path, command: list[str]
) -> None:
    of = made(text=HOSTILE)
    first = of.rows[0]
    odd = replace(
        first,
        example=replace(first.example, id=HOSTILE),
        completion=replace(first.completion, text=json.dumps({"folder": HOSTILE, "priority": 1})),
    )
    odd = replace(
        odd, parsed=get_format("json", TASK).parse(TASK, odd.completion.text), contaminated_by=None
    )
    folder = store(tmp_path / "runs", replace(of, rows=(odd, *of.rows[1:])), slice_name=HOSTILE)
    name = [] if command == ["runs"] else [folder.name]
    code, out, err = cli(*command, *name)
    assert (code, harmful(out), err) == (0, [], "")
    if name:
        assert "\\x1b]0;owned\\x07" in out
        assert "[red]x[/red]" in out
    code, out, _ = cli(*command, *name, "--json")
    assert code == 0
    assert out.isascii()
    assert harmful(out) == []
    strict(out)
    if command == ["errors"]:
        inputs = [case["inputs"] for case in strict(out)["errors"]]
        assert {
            "app_name": f"{HOSTILE} 3",
            "title": f"{HOSTILE} 3",
            "body": f"{HOSTILE} 3",
        } in inputs


def test_hostile_names_of_runs_that_cannot_be_read(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "x\x1b[31m\u202ey"
    folder.mkdir(parents=True)
    (folder / "record.json").write_text('{"schema": "\\u001b[2J"}')
    code, out, _ = cli("runs")
    assert code == 0
    assert "x\\x1b[31m\\u202ey" in out
    assert harmful(out) == []


# Every command


SAYS_NO_JSON = {
    "init": "it writes files, and says what to type next",
    "grammar": "what it prints is a grammar, or with --as json-schema JSON already",
    "schema": "what it prints is JSON already",
    "serve": "it prints nothing but where it listens",
    "view": "it prints nothing but where it listens",
}


def commands(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path}{name} ")
        else:
            yield f"{path}{name}", command


def test_every_command_that_prints_results_has_json() -> None:
    found = dict(commands(typer.main.get_command(app)))
    assert {"show", "errors", "runs", "data stats", "baseline list", "gate"} <= set(found)
    without = {
        name
        for name, command in found.items()
        if not any("--json" in parameter.opts for parameter in command.params)
    }
    assert without == set(SAYS_NO_JSON)


def test_nothing_heavy_is_loaded(tmp_path: Path) -> None:
    store(tmp_path / "runs", made())
    script = (
        "import sys\n"
        "from evalkit.cli import main\n"
        "for words in (['show', '--help'], ['errors', '--help'], ['runs']):\n"
        "    sys.argv[1:] = words\n"
        "    try:\n        main()\n    except SystemExit as stop:\n        assert not stop.code\n"
        "heavy = {'torch', 'transformers', 'peft', 'datasets', 'scipy', 'sklearn', 'jinja2'}\n"
        "print('HEAVY', sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "HEAVY []" in done.stdout
