"""Ways to get *may ship* out of a system that fails a part: none works without a word.

A black box: a project with a system that loses one of two queues, an attempt, and what the gate
says and exits with. The system answers from a file, so that a run takes a second.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from random import Random

import pytest

from command_line import evalkit
from evalkit.data import Fingerprints, load_dataset
from evalkit.gates.sealing import seal
from evalkit.tasks import load_task
from gate_imports import AS_THEY_ARE

TASK = """
family = "tickets"
summary = "tickets"
instruction = "Sort tickets."
[inputs.message]
title = "Ticket"
paths = ["message"]
[fields.queue]
kind = "choice"
title = "Queues"
paths = ["queue"]
values = [{ value = "Billing", description = "b" }, { value = "Delivery", description = "d" }]
"""
SYSTEM = 'task = "../../task.toml"\nformat = "json"\n'
SUITE = """
import pytest

pytestmark = pytest.mark.task("tickets")


def test_accuracy(evaluation, gate):
    gate("accuracy", evaluation.accuracy("queue"))


@pytest.mark.each_value("queue")
def test_recall(evaluation, gate, value):
    gate("queue_recall", evaluation.recall("queue", value), slice=value)


def test_contamination(evaluation, gate):
    gate("contamination", evaluation.contamination_rate())
"""
GATES = """
[accuracy]
min_value = 0.60
why = "x"

[queue_recall]
min_value = 0.60
why = "x"

[contamination]
max_value = 0.01
why = "x"
"""
BEATS = """
def test_better(evaluation, tfidf_baseline, gate):
    ours, theirs = evaluation.accuracy("queue"), tfidf_baseline.accuracy("queue")
    gate("beats_tfidf", ours.against(theirs))
"""
N = 240
QUEUES = ("Billing", "Delivery")


class Project:
    """A user's repository: its system answers everything with `Billing`, but for some."""

    def __init__(self, pytester: pytest.Pytester) -> None:
        self.pytester, self.root = pytester, pytester.path
        self.suite = self.write("suites/test_tickets.py", SUITE)
        self.gates = self.write("suites/gates.toml", GATES)
        self.write("task.toml", TASK)
        self.write("adapters/mine/system.toml", f'{SYSTEM}engine = "replay"\nanswers = "a.jsonl"\n')
        self.write_rows(made_up(N, seed=0))
        self.fingerprint("mine")

    def write(self, path: str, text: str) -> Path:
        target = self.root / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, encoding="utf-8")
        return target

    def write_rows(self, rows: list[dict], *, right: int = 40) -> None:
        """Rows, and answers of which those to `Billing` and `right` of `Delivery` are right."""
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        self.data = self.write("fixtures/tickets/test.jsonl", lines)
        delivered = [row["id"] for row in rows if row["queue"] == "Delivery"][:right]
        said = {row["id"]: "Delivery" if row["id"] in delivered else "Billing" for row in rows}
        answers = [{"id": id, "text": json.dumps({"queue": queue})} for id, queue in said.items()]
        self.write("adapters/mine/a.jsonl", "".join(json.dumps(a) + "\n" for a in answers))

    def fingerprint(self, system: str) -> None:
        """As `evalkit data fingerprint` writes them of rows that nothing proves."""
        path = self.write("train.jsonl", "".join(json.dumps(r) + "\n" for r in made_up(9, seed=1)))
        rows = load_dataset(str(path), load_task(str(self.root / "task.toml"))).examples
        Fingerprints.of(rows).save(self.root / "adapters" / system / "contamination.bin")

    def gate(self, *arguments: str) -> tuple[int, str]:
        """Judge the system; the exit code and the last words on it."""
        shutil.rmtree(self.root / "runs", ignore_errors=True)
        result = self.pytester.runpytest_inprocess(
            "suites", "--model", "mine", "-p", "no:cacheprovider", *AS_THEY_ARE, *arguments
        )
        self.out = result.stdout.str() + result.stderr.str()
        last = [line for line in self.out.splitlines() if line.startswith(("mine ", "mine: "))]
        return int(result.ret), last[-1] if last else ""


def made_up(n: int, seed: int) -> list[dict]:
    """Rows of made-up words, that are no near-duplicates and say nothing of their queue."""
    draw = Random(seed)
    texts = [
        " ".join("".join(draw.choices("abcdefghijklmnopqrstuvwxyz", k=7)) for _ in range(8))
        for _ in range(n)
    ]
    return [
        {"id": f"{seed}-{i}", "message": text, "queue": QUEUES[i % 2]}
        for i, text in enumerate(texts)
    ]


@pytest.fixture
def project(pytester: pytest.Pytester) -> Project:
    return Project(pytester)


def test_the_system_does_not_ship(project: Project) -> None:
    """What all the ways below start from: a third of one queue, and two thirds in all."""
    code, said = project.gate()
    assert code == 1
    assert said == "mine may NOT ship: finds 33.3% of queue Delivery (needs >= 60%)."


DROP = """
def pytest_collection_modifyitems(items):
    items[:] = [item for item in items if "Delivery" not in item.name]
"""
SKIP = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        if "Delivery" in item.name:
            item.add_marker(pytest.mark.skip(reason="flaky"))
"""
NEEDS = SKIP.replace('skip(reason="flaky")', 'needs("adapter")')
XFAIL = SKIP.replace('skip(reason="flaky")', 'xfail(run=False, reason="flaky")')
NEVER_RUN = """
def pytest_runtest_protocol(item):
    return "Delivery" in item.name or None
"""
IN_TEST = SUITE.replace(
    '    gate("queue_recall"', '    if value == "Delivery":\n        WAY\n    gate("queue_recall"'
)


@pytest.mark.parametrize(
    ("conftest", "suite", "why"),
    [
        (DROP, SUITE, "not run"),
        (SKIP, SUITE, "skipped: flaky"),
        (NEEDS, SUITE, "skipped: mine has no adapter"),
        (XFAIL, SUITE, "xfail *flaky"),
        (NEVER_RUN, SUITE, "not run"),
        ("", IN_TEST.replace("WAY", "pytest.skip('flaky')"), "skipped: flaky"),
        ("", IN_TEST.replace("WAY", "return"), "its gate said nothing"),
        ("", IN_TEST.replace("WAY", "pytest.importorskip('nothing_at_all')"), "skipped: *"),
    ],
)
def test_a_slice_that_is_left_out_is_missed_by_name(
    project: Project, conftest: str, suite: str, why: str
) -> None:
    project.write("conftest.py", conftest)
    project.suite.write_text(suite)
    code, said = project.gate()
    assert code == 1
    pattern = f"mine may NOT ship: not judged: queue_recall?Delivery? (*{why}*)."
    pytest.LineMatcher([said]).fnmatch_lines([pattern])


def test_a_skip_mark_on_one_value_is_missed_by_name(project: Project) -> None:
    project.suite.write_text(
        SUITE.replace(
            '@pytest.mark.each_value("queue")',
            '@pytest.mark.parametrize("value", ["Billing", pytest.param("Delivery", '
            'marks=pytest.mark.skip(reason="later"))])',
        )
    )
    assert project.gate() == (
        1,
        "mine may NOT ship: not judged: queue_recall[Delivery] (skipped: later).",
    )


HIDE = {
    "collect_ignore": ("suites/conftest.py", 'collect_ignore = ["test_more.py"]\n'),
    "hook": (
        "suites/conftest.py",
        "def pytest_ignore_collect(collection_path):\n"
        "    return collection_path.name == 'test_more.py' or None\n",
    ),
    "settings": ("pytest.ini", "[pytest]\npython_files = test_tickets.py\n"),
    "function": ("pytest.ini", "[pytest]\npython_functions = test_[acr]*\n"),
    "option": ("pytest.ini", "[pytest]\naddopts = --ignore=suites/test_more.py\n"),
}


@pytest.mark.parametrize("way", HIDE)
def test_a_suite_that_is_hidden_from_pytest_is_missed_by_name(project: Project, way: str) -> None:
    """Another slice of a criterion that other tests speak of."""
    project.suite.write_text(
        SUITE.replace('each_value("queue")', 'parametrize("value", ["Billing"])')
    )
    more = 'def test_late(evaluation, gate):\n    gate("queue_recall", '
    project.write(
        "suites/test_more.py", f'{more}evaluation.recall("queue", "Delivery"), slice="Delivery")\n'
    )
    project.write(*HIDE[way])
    assert project.gate() == (
        1,
        "mine may NOT ship: not judged: queue_recall[Delivery] (not collected).",
    )


def test_a_test_that_another_of_its_name_hides_is_missed_by_name(project: Project) -> None:
    one = 'def test_one(evaluation, gate):\n    gate("queue_recall", '
    slices = [f'{one}evaluation.recall("queue", "{q}"), slice="{q}")\n' for q in QUEUES[::-1]]
    suite = SUITE.replace('each_value("queue")', 'parametrize("value", ["Billing"])')
    project.suite.write_text(suite + "\n".join(slices))
    code, said = project.gate()
    assert code == 1
    assert "queue_recall[Delivery] (a later test of the same name hides it)" in said


def test_a_gate_that_the_source_does_not_name_is_missed_with_its_test(project: Project) -> None:
    """The test holds a criterion that blocks nothing, too: that one may be left open."""
    project.suite.write_text(
        SUITE.replace('each_value("queue")', 'parametrize("value", ["Billing"])')
        + """

@pytest.mark.skip("later")
def test_each(evaluation, gate):
    gate("macro_f1", evaluation.macro_f1("queue"))
    for queue in ("Delivery",):
        gate("queue_recall", evaluation.recall("queue", queue), slice=queue)
"""
    )
    project.gates.write_text(
        f'{GATES}\n[macro_f1]\nmin_value = 0.1\ntier = "advisory"\nwhy = "x"\n'
    )
    assert project.gate() == (1, "mine may NOT ship.")
    assert "Not judged: test_each[mine] (skipped: later)." in project.out


@pytest.mark.parametrize(
    "choice", [["-k", "not Delivery"], ["--deselect", "suites/test_tickets.py::test_recall"]]
)
@pytest.mark.parametrize("where", ["typed", "environment"])
def test_chosen_tests_are_no_release(
    project: Project, choice: list[str], where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if where == "environment":
        monkeypatch.setenv("PYTEST_ADDOPTS", " ".join(f'"{part}"' for part in choice))
        choice = []
    _, said = project.gate(*choice)
    assert "so there is no release verdict" in said
    (verdicts,) = (project.root / "runs").glob("[!.]*-mine/verdicts.json")
    assert json.loads(verdicts.read_text())["may_ship"] is False


def test_stopping_early_leaves_the_rest_unjudged(project: Project) -> None:
    project.write("suites/test_a.py", "def test_first(evaluation):\n    assert False\n")
    code, _ = project.gate("-x")
    assert code == 1
    assert "queue_recall[Delivery], contamination (not run)" in project.out


def test_rows_that_cannot_be_read_do_not_go_by_unsaid(project: Project) -> None:
    """Four of five rows of the queue that it loses are broken: what is left passes."""
    lines = project.data.read_text().splitlines()
    lost = [n for n, line in enumerate(lines) if "Delivery" in line and n > 80][:76]
    for n in lost:
        lines[n] = lines[n][:-20]
    project.data.write_text("\n".join(lines) + "\n")
    project.gates.write_text(GATES.replace("[queue_recall]\n", "[queue_recall]\nmin_cases = 20\n"))
    code, said = project.gate("--on-bad-row", "skip")
    assert code == 1
    assert said.startswith(
        "mine may NOT ship: partial: 76 of 240 rows could not be read and were skipped."
    )
    allowed = "\n[bad_rows]\nmax_value = BOUND\nwhy = 'x'\n"
    gates = project.gates.read_text()
    project.gates.write_text(gates + allowed.replace("BOUND", "'5%'"))
    code, said = project.gate("--on-bad-row", "skip")
    assert (code, said) == (
        1,
        "mine may NOT ship: 31.7% of the rows could not be read (needs <= 5%).",
    )
    # Whoever allows so many is told so beside the verdict.
    project.gates.write_text(gates + allowed.replace("BOUND", "'40%'"))
    code, said = project.gate("--on-bad-row", "skip")
    assert code == 0
    assert said == (
        "mine may ship: all 5 gates passed; 76 of 240 rows could not be read and were skipped."
    )


def test_one_row_many_times_is_one_case(project: Project) -> None:
    one, other = made_up(2, seed=3)
    rows = [{**row, "id": f"{row['queue']}-{n}"} for n in range(120) for row in (one, other)]
    project.write_rows(rows, right=120)
    code, said = project.gate()
    assert code == 1
    assert "inconclusive" in said
    assert "2 independent cases (240 with near-duplicates), and this gate needs 100" in project.out


@pytest.mark.parametrize(
    ("bound", "message"),
    [
        ("max_value = 1", '*write 0.01 or "1%" for 1 percent, or 1.0 or "100%"*'),
        ("max_value = 80", '*write 0.8 or "80%" for 80 percent*'),
        ("max_value = 80.0", '*80 is not a share: write 0.8 or "80%"*'),
        ("max_valu = 0.8", "*unknown key 'errors.max_valu'. Did you mean 'max_value'?*"),
    ],
)
def test_a_percentage_is_no_bound(project: Project, bound: str, message: str) -> None:
    project.gates.write_text(f"{GATES}\n[errors]\n{bound}\nwhy = 'x'\n")
    code, _ = project.gate()
    assert code == 4
    pytest.LineMatcher(project.out.splitlines()).fnmatch_lines([message])
    assert not (project.root / "runs").exists()


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        ('each_value("queu")', "*each_value(\"queu\") names nothing. Did you mean 'queue'?*"),
        ("each_value()", "*each_value takes the name of one field*"),
        ('task("ticket")', "*no task of family 'ticket'. Did you mean 'tickets'?*"),
        ("task()", "*task takes names of families*"),
        ('needs("adaptr")', "*needs(\"adaptr\") names nothing. Did you mean 'adapter'?*"),
        ('each_field("queue")', "*each_field takes no argument*"),
    ],
)
def test_a_mark_that_names_nothing_exits_4(project: Project, mark: str, message: str) -> None:
    extra = "value" if "each_value" in mark else "field" if "each_field" in mark else "gate"
    test = f"\n@pytest.mark.{mark}\ndef test_more(evaluation, {extra}):\n    pass\n"
    project.suite.write_text(SUITE + test)
    code, _ = project.gate()
    assert code == 4
    pytest.LineMatcher([" ".join(project.out.splitlines())]).fnmatch_lines([message])
    assert not (project.root / "runs").exists()


def test_a_criterion_for_a_task_that_is_none_exits_4(project: Project) -> None:
    """It would never be due."""
    project.gates.write_text(GATES.replace("[queue_recall]\n", '[queue_recall]\ntask = "ticket"\n'))
    code, _ = project.gate()
    assert code == 4
    assert "[queue_recall]: there is no task of family 'ticket'. Did you mean" in project.out


def test_a_misspelt_criterion_exits_4_before_anything_is_asked(project: Project) -> None:
    project.gates.write_text(GATES.replace("[queue_recall]", "[queue_recal]"))
    code, _ = project.gate()
    assert code == 4
    assert (
        "test_tickets.py asks for [queue_recall], which is not there. Did you mean 'queue_recal'?"
        in " ".join(project.out.split())
    )
    assert not (project.root / "runs").exists()


def test_a_loss_against_the_baseline_is_no_win(project: Project) -> None:
    """The bound that `evalkit init` once wrote passed a significant loss of 16 points."""
    project.write_rows(telling(N, seed=5), right=110)  # 95.8% right, and the baseline all
    train_tfidf(project)
    project.suite.write_text(SUITE + BEATS)
    project.gates.write_text(f'{GATES}\n[beats_tfidf]\nmin_difference = -0.25\nwhy = "x"\n')
    code, said = project.gate()
    assert code == 1
    assert "is significantly worse than tfidf at queue accuracy (-4.2 points)" in said
    assert "(> -25.0)" in said
    assert "the bound is below 0" not in project.out, "it did not matter"


def telling(n: int, seed: int) -> list[dict]:
    """Rows with a word that says their queue."""
    words = {"Billing": "invoice", "Delivery": "parcel"}
    rows = made_up(n, seed)
    return [{**row, "message": f"{row['message']} {words[row['queue']]}"} for row in rows]


def train_tfidf(project: Project) -> None:
    path = project.write("t.jsonl", "".join(json.dumps(row) + "\n" for row in telling(40, seed=6)))
    text = f'{SYSTEM}engine = "tfidf"\n[recipe]\ndata = "t.jsonl"\n'
    system = project.write("adapters/tfidf/system.toml", text)
    done = evalkit("train", system.parent, "--data", path, cwd=project.root)
    assert done.returncode == 0, done.stderr


def lenient(project: Project) -> str:
    path = project.write("lenient.toml", GATES.replace("0.60", "0.20"))
    return path.name


def test_criteria_that_the_environment_names_are_named(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTEST_ADDOPTS", f"--gates={lenient(project)}")
    code, said = project.gate()
    assert code == 0
    caveat = "the criteria are those of lenient.toml, which PYTEST_ADDOPTS in the environment names"
    assert said == f"mine may ship: all 4 gates passed; {caveat}."
    (found,) = (project.root / "runs").glob("[!.]*-mine/verdicts.json")
    verdicts = json.loads(found.read_text())
    assert (verdicts["criteria"], verdicts["caveats"]) == (["lenient.toml"], [caveat])


def test_criteria_that_settings_name_are_named(project: Project) -> None:
    project.write("pytest.ini", f"[pytest]\naddopts = --gates {lenient(project)}\n")
    code, said = project.gate()
    assert code == 0
    assert "the criteria are those of lenient.toml, which pytest's addopts names" in said


def test_what_is_taken_on_trust_is_said(project: Project) -> None:
    """Answers from a file, and fingerprints of rows that somebody says it was trained on."""
    project.write_rows(made_up(N, seed=0), right=N)
    code, _ = project.gate()
    assert code == 0
    notes = [line for line in project.out.splitlines() if line.startswith("note: ")]
    assert any("its answers were recorded" in note for note in notes)
    assert any("its training rows are those that somebody declared" in note for note in notes)


def test_what_a_suite_withdraws_is_said(project: Project) -> None:
    suite = IN_TEST.replace("WAY", "raise DoesNotApply('we ship no parcels')")
    project.suite.write_text("from evalkit.errors import DoesNotApply\n" + suite)
    code, said = project.gate("-v")
    assert (code, said) == (0, "mine may ship: all 3 gates passed.")
    assert "Does not apply, as we ship no parcels: queue_recall[Delivery]" in project.out


SKIP_ALL = """
import pytest

def pytest_collection_modifyitems(items):
    for item in items:
        item.add_marker(pytest.mark.skip("later"))
"""


@pytest.mark.parametrize("options", [(), ("-v",)])
def test_a_run_in_which_every_test_is_skipped_does_not_ship(
    project: Project, options: tuple[str, ...]
) -> None:
    project.write("conftest.py", SKIP_ALL)
    code, said = project.gate(*options)
    assert code == 1
    assert "may NOT ship" in said
    assert "no test asked it anything" in project.out.lower()


def test_a_mistake_leaves_the_verdict_of_before(project: Project) -> None:
    project.gate()
    (run,) = (project.root / "runs").glob("2*")
    before = (run / "verdicts.json").read_bytes()
    project.gates.write_text(GATES.replace("[queue_recall]", "[queue_recal]"))
    result = project.pytester.runpytest_inprocess(
        "suites", "--run", run.name, "-p", "no:cacheprovider"
    )
    assert result.ret == 4
    said = result.stdout.str() + result.stderr.str()
    assert "Did you mean 'queue_recal'?" in said
    assert "replaced" not in said
    assert (run / "verdicts.json").read_bytes() == before


def test_a_sealed_criterion_is_not_loosened_without_another_seal(project: Project) -> None:
    project.gates.write_text(GATES.replace("0.60", "0.70"))
    seal(project.gates)
    project.gates.write_text(GATES)
    code, said = project.gate()
    assert (code, "may NOT ship" in said) == (1, True)
    assert "looser than those sealed" in project.out
    seal(project.gates)
    assert "looser than those sealed" not in (project.gate(), project.out)[1]


def test_criteria_from_elsewhere_are_held_against_the_suites_seal(project: Project) -> None:
    loose = project.write("elsewhere/gates.toml", project.gates.read_text())
    project.gates.write_text(GATES.replace("0.60", "0.70"))
    seal(project.gates)
    loose.write_text(GATES.replace("0.60", "0.10"))
    code, said = project.gate("--gates", "elsewhere/gates.toml")
    assert (code, "may NOT ship" in said) == (1, True)
    assert "looser than those sealed" in project.out


def test_a_nearer_file_puts_no_seal_aside(project: Project) -> None:
    project.gates.write_text(GATES.replace("0.60", "0.70"))
    seal(project.gates)
    project.write("suites/near/gates.toml", GATES.replace("0.60", "0.10"))
    project.suite.rename(project.root / "suites" / "near" / "test_tickets.py")
    code, said = project.gate()
    assert (code, "may NOT ship" in said) == (1, True)
    assert "looser than those sealed" in project.out
    seal(project.root / "suites" / "near" / "gates.toml")
    assert project.gate()[0] == 0


def test_one_name_for_two_criteria_exits_4(project: Project) -> None:
    """What one of them says, and whether it blocks, would count for the other."""
    skipped = SUITE.replace("@pytest.mark.each", '@pytest.mark.skip("later")\n@pytest.mark.each')
    project.write("suites/strict/test_strict.py", skipped)
    project.write("suites/strict/gates.toml", GATES)
    loose = GATES.replace("min_value = 0.60", 'min_value = 0.10\ntier = "advisory"')
    project.gates.write_text(loose)
    code, _ = project.gate()
    assert code == 4
    assert "[accuracy] is one criterion in suites/strict/gates.toml and another in" in project.out
    assert not (project.root / "runs").exists()
    project.gates.write_text(GATES.replace('"x"', '"another reason"'))
    assert project.gate()[0] == 1


def test_a_conftest_that_ends_the_session_judges_nothing(project: Project) -> None:
    project.write("suites/conftest.py", "raise SystemExit(0)")
    code, _ = project.gate()
    assert code == 4
    assert "A conftest.py ended the session (SystemExit(0))" in project.out


def test_a_broken_seal_ends_it_before_anything_answers(project: Project) -> None:
    seal(project.gates).write_text("{}")
    code, _ = project.gate()
    assert code == 4
    assert "gates.seal.json is not a seal" in project.out
    assert not (project.root / "runs").exists()


def test_a_bound_that_nothing_can_fail_is_named(project: Project) -> None:
    project.gates.write_text(GATES.replace("0.60", "0.0"))
    code, said = project.gate()
    assert (code, "may ship" in said) == (0, True)
    assert "nothing can fail accuracy, queue_recall" in project.out


def test_answers_that_were_not_recorded_exit_4(project: Project) -> None:
    (project.root / "adapters" / "mine" / "a.jsonl").unlink()
    code, _ = project.gate()
    assert code == 4
    assert "a.jsonl are not here" in project.out


def trained(project: Project, name: str, rows: str) -> None:
    """A TF-IDF baseline that was trained on some of the project's rows."""
    recipe = f'\n[recipe]\ndata = "{rows}"\n'
    project.write(f"adapters/{name}/system.toml", f'{SYSTEM}engine = "tfidf"\n{recipe}')
    done = evalkit("train", name, cwd=project.root)
    assert done.returncode == 0, done.stderr


def test_the_weights_of_another_training_are_of_unknown_rows(project: Project) -> None:
    project.write("own.jsonl", "".join(json.dumps(r) + "\n" for r in made_up(40, seed=2)))
    trained(project, "honest", "own.jsonl")
    trained(project, "cheat", "fixtures/tickets/test.jsonl")
    folder = project.root / "adapters"
    code, _ = project.gate("--model", "cheat")
    assert "cheat may NOT ship" in project.out
    shutil.copy(folder / "cheat" / "baseline.safetensors", folder / "honest")
    code, _ = project.gate("--model", "honest")
    assert code == 1
    assert "honest may NOT ship" in project.out
    assert "is not the file that the training" in project.out


def test_a_stored_run_meets_the_same_baseline(project: Project) -> None:
    project.write("own.jsonl", "".join(json.dumps(r) + "\n" for r in made_up(40, seed=2)))
    project.write("few.jsonl", "".join(json.dumps(r) + "\n" for r in made_up(8, seed=3)))
    trained(project, "aaa", "few.jsonl")
    trained(project, "bbb", "own.jsonl")
    trained(project, "ccc", "own.jsonl")
    project.suite.write_text(SUITE + BEATS)
    project.gates.write_text(f'{GATES}\n[beats_tfidf]\nmin_difference = 0.0\nwhy = "x"\n')
    asked = ("suites", "-v", "-p", "no:cacheprovider")
    fresh = project.pytester.runpytest_inprocess(*asked, "--model", "ccc").stdout.str()
    (run,) = (project.root / "runs").glob("2*-ccc")
    again = project.pytester.runpytest_inprocess(*asked, "--run", run.name).stdout.str()
    for said in (fresh, again):
        assert "than bbb at queue accuracy" in said
        assert "than aaa at queue accuracy" not in said
