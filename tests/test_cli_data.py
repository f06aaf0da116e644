"""`evalkit data`, as its user meets it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from command_line import ROOT, evalkit
from evalkit.data import Kind, load_dataset, load_fingerprints
from evalkit.data.fingerprints import FILE
from evalkit.tasks import load_task
from evalkit.training.recipe import RowsRecipe
from evalkit.training.rows import prepare_rows

BODIES = [
    "Your parcel from the garden centre will arrive on Friday between ten and noon",
    "Payment of $523.45 to the electricity company has been confirmed",
    "Standup moved to half past nine, same room as always",
    "Seven new photos were added to the album of last summer",
]


def write_rows(path: Path, bodies: list[str], priority: int = 4) -> Path:
    rows = [
        {
            "id": f"{path.stem}-{number}",
            "notification": {"app": "mail", "title": "", "body": body},
            "classification": {"folder": "Work", "priority": priority},
        }
        for number, body in enumerate(bodies)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


@pytest.fixture
def train(tmp_path: Path) -> Path:
    return write_rows(tmp_path / "train.jsonl", [*BODIES, BODIES[0]])


@pytest.fixture
def held_out(tmp_path: Path) -> Path:
    bodies = [BODIES[0], BODIES[1].upper(), BODIES[2].replace("nine", "ten"), "\x1b[2J unlike"]
    return write_rows(tmp_path / "test.jsonl", bodies, priority=2)


def test_duplicates_within_one_set(train: Path) -> None:
    done = evalkit("data", "overlap", train, "--task", "notifications-5level")
    assert done.returncode == 0, done.stderr
    assert "Read as notifications-5level" in done.stdout
    assert [line.split() for line in done.stdout.splitlines() if line.startswith(" exact  ")] == [
        ["exact", "1", "2", "1", "0"]
    ]
    assert "train-0" in done.stdout
    assert "training" not in done.stdout


def test_overlap_fits_80_columns_and_is_plain_when_piped(train: Path, held_out: Path) -> None:
    sources = (train.name, held_out.name)
    done = evalkit("data", "overlap", *sources, "--show", "0", cwd=train.parent)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "Read as notifications-5level" in done.stdout
    rows = [line.split() for line in done.stdout.splitlines()]
    for kind in Kind:
        assert [kind, "1", "25.0%", "1"] in rows
    assert ["in", "all", "3", "75.0%", "3"] in rows


def test_escape_sequences_do_not_reach_the_terminal(held_out: Path) -> None:
    done = evalkit("data", "overlap", held_out, held_out, "--show", "9", "--threshold", "0.99")
    assert "unlike" in done.stdout
    assert "\x1b" not in done.stdout


def test_overlap_as_json(train: Path, held_out: Path) -> None:
    done = evalkit("data", "overlap", train, held_out, "--json")
    found = json.loads(done.stdout)
    assert found["task"] == "notifications-5level"
    assert found["overlap"]["rows"] == found["overlap"]["labels_differ"] == 3
    assert found["overlap"]["matches"][0] == {
        "test": "test-0",
        "train": "train-0",
        "kind": "exact",
        "similarity": 1.0,
        "labels_differ": True,
    }
    exact = found["train"]["duplicates"]["exact"]
    assert exact == {"groups": 1, "rows": 2, "repeats": 1, "labels_differ": 0}


def test_a_task_that_maps_labels_is_taken_where_none_reads_them(tmp_path: Path) -> None:
    rows = write_rows(tmp_path / "rows.jsonl", BODIES, priority=5)
    done = evalkit("data", "overlap", rows, "--mapping", "five-level")
    assert done.returncode == 0, done.stderr
    assert "Read as notifications-3level" in done.stdout
    assert "five-level" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["overlap", "nothing.jsonl"], "There is no file nothing.jsonl"),
        (["overlap", "{other}"], "notifications-3level: {other}:1:"),
        (["overlap", "{train}", "--task", "intent"], "Did you mean 'intents'?"),
        (["overlap", "{train}", "--task", "intents"], "nothing at 'prompt'"),
        (["overlap", "{train}", "{other}"], "{other}:1:"),
        (["overlap", "{train}", "--threshold", "80"], "not a share from 0.5 to 1"),
        (["overlap", "{train}", "--on-bad-row", "skipp"], "Did you mean 'skip'?"),
        (["fingerprint", "qwen3-3level-base"], "has no provenance.json"),
    ],
)
def test_a_users_mistake_exits_4(
    train: Path, tmp_path: Path, arguments: list[str], message: str
) -> None:
    other = tmp_path / "other.jsonl"
    other.write_text('{"a": 1}\n', encoding="utf-8")
    done = evalkit("data", *(a.format(train=train, other=other) for a in arguments))
    assert done.returncode == 4
    assert message.format(other=other) in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


@pytest.fixture
def system(tmp_path: Path, train: Path) -> Path:
    """A trained system, as far as its fingerprints are concerned."""
    folder = tmp_path / "adapters" / "mine"
    folder.mkdir(parents=True)
    (folder / "system.toml").write_text(
        'task = "notifications-5level"\nformat = "json"\nbase = "hf:nobody/nothing"\n',
        encoding="utf-8",
    )
    recipe = RowsRecipe(data=str(train), dev_rows=1)
    dataset = load_dataset(str(train), load_task("notifications-5level"))
    provenance = {
        "recipe": {**recipe.model_dump(), "epochs": 3},
        "rows": prepare_rows(dataset, recipe).counts(),
        "data_sha256": dataset.sha256,
    }
    (folder / "provenance.json").write_text(json.dumps(provenance), encoding="utf-8")
    return folder


def test_fingerprints_are_those_of_the_rows_trained_on(system: Path, train: Path) -> None:
    done = evalkit("data", "fingerprint", "mine", cwd=system.parents[1])
    assert done.returncode == 0, done.stderr
    assert "contamination.bin: 3 rows" in done.stdout
    dataset = load_dataset(str(train), load_task("notifications-5level"))
    rows = prepare_rows(dataset, RowsRecipe(data="", dev_rows=1))
    fingerprints = load_fingerprints(system / FILE)
    assert fingerprints.data_sha256 == dataset.sha256
    assert all(match and match.kind is Kind.EXACT for match in fingerprints.match(rows.train))
    assert fingerprints.match(rows.dev) == (None,)


def test_without_provenance_the_rows_are_taken_at_the_users_word(system: Path, train: Path) -> None:
    (system / "provenance.json").unlink()
    done = evalkit("data", "fingerprint", f"{system}/", "--data", train)
    assert done.returncode == 0, done.stderr
    assert "taken at your word" in done.stdout
    rows = load_dataset(str(train), load_task("notifications-5level")).examples
    fingerprints = load_fingerprints(system / FILE)
    assert (fingerprints.rows, all(fingerprints.match(rows))) == (len(rows), True)


def test_other_data_than_was_trained_on_is_refused(system: Path, held_out: Path) -> None:
    done = evalkit("data", "fingerprint", f"{system}/", "--data", held_out)
    assert done.returncode == 4
    assert "is not what mine was trained on" in done.stderr
    assert not (system / FILE).exists()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rows": {"trained_on": 3, "dev_sha256": "ff"}}, "other rows"),
        ({"rows": None}, "does not say what was trained on"),
        ({"recipe": {"data": "x", "rows": "all"}}, "does not say what was trained on"),
    ],
)
def test_a_provenance_that_does_not_fit_is_refused(
    system: Path, change: dict[str, object], message: str
) -> None:
    path = system / "provenance.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change), encoding="utf-8")
    done = evalkit("data", "fingerprint", f"{system}/")
    assert done.returncode == 4
    assert message in done.stderr
    assert not (system / FILE).exists()


def write_tickets(path: Path, *texts: str) -> Path:
    rows = [
        {"id": f"{path.stem}-{n}", "message": text, "queue": "Delivery"}
        for n, text in enumerate(texts)
    ]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
    return path


def test_overlap_works_for_a_task_of_ones_own(tmp_path: Path) -> None:
    task = ROOT / "evalkit" / "skeleton" / "task.toml"
    known = write_tickets(tmp_path / "train.jsonl", *BODIES)
    asked = write_tickets(tmp_path / "test.jsonl", BODIES[1], "Nothing like it at all here")
    done = evalkit("data", "overlap", known, asked, "--task", task, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)["overlap"]
    assert [(m["test"], m["train"], m["kind"]) for m in found["matches"]] == [
        ("test-0", "train-1", "exact")
    ]


def test_five_level_rows_beside_three_level_ones_do_not_disagree(tmp_path: Path) -> None:
    """1 and 2 are low, 3 is medium, 4 and 5 are high: the same rows on both scales."""
    bodies = [
        f"{body}, as {word} told us" for body in BODIES for word in ("Ann", "Bo", "Cy", "Di", "Ed")
    ]

    def write(name: str, levels: list[int]) -> Path:
        rows = [
            {
                "id": f"{name}-{n}",
                "notification": {"app": "mail", "title": "", "body": body},
                "classification": {"folder": "Work", "priority": levels[n % 5]},
            }
            for n, body in enumerate(bodies)
        ]
        path = tmp_path / f"{name}.jsonl"
        path.write_text("".join(f"{json.dumps(row)}\n" for row in rows), encoding="utf-8")
        return path

    five, three = write("five", [1, 2, 3, 4, 5]), write("three", [1, 1, 2, 3, 3])
    for sources in ((five, three), (three, five)):
        content = json.loads(evalkit("data", "overlap", *sources, "--json").stdout)
        assert content["task"] == "notifications-3level"
        assert (content["overlap"]["exact"], content["overlap"]["labels_differ"]) == (20, 0)
    alone = json.loads(evalkit("data", "overlap", five, five, "--json").stdout)
    assert alone["task"] == "notifications-5level"


def test_twins_are_taken_out_and_named(tmp_path: Path, train: Path, held_out: Path) -> None:
    out = tmp_path / "clean.jsonl"
    done = evalkit("data", "without", train, held_out, "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert [(row["id"], row["repeats"], row["kind"]) for row in content["removed"]] == [
        ("train-0", "test-0", "exact"),
        ("train-1", "test-1", "normalised"),
        ("train-2", "test-2", "near"),
        ("train-4", "test-0", "exact"),
    ]
    assert (content["rows"], content["kept"]) == (5, 1)
    assert out.read_text() == train.read_text().splitlines(keepends=True)[3]
    again = json.loads(evalkit("data", "overlap", out, held_out, "--json").stdout)
    assert again["overlap"]["rows"] == 0


def test_twins_are_never_taken_out_into_either_source(train: Path, held_out: Path) -> None:
    for target in (train, held_out):
        before = target.read_bytes()
        done = evalkit("data", "without", train, held_out, "--out", target, "--force")
        assert (done.returncode, target.read_bytes()) == (4, before)
        assert "never overwritten" in done.stderr


def test_a_dry_run_shows_twins_and_writes_nothing(
    tmp_path: Path, train: Path, held_out: Path
) -> None:
    done = evalkit("data", "without", train, held_out, "--out", tmp_path / "x.jsonl", "--dry-run")
    assert "5 rows of" in done.stdout
    assert "1 kept, 4 repeat" in done.stdout
    assert not (tmp_path / "x.jsonl").exists()
