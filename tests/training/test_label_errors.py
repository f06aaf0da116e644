"""Labels that were made wrong on purpose are found."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path

import pytest

from evalkit.cli.data import errors
from evalkit.errors import UserError
from evalkit.records import Example, Label
from evalkit.tasks import Task, load_task
from evalkit.training.label_errors import find_label_errors

SKELETON = Path(__file__).parents[2] / "evalkit" / "skeleton"
WORDS = (("mint", "oak", "iron"), ("salt", "wolf", "rain"), ("moss", "clay", "fern"))
"""What rows of each value say."""
ROWS, EVERY = 72, 10
pytestmark = pytest.mark.skipif(
    find_spec("cleanlab") is None, reason="label errors are found with the extra `cleanlab`"
)


def made(task: Task, values: Sequence[Label]) -> tuple[list[Example], dict[str, Label]]:
    """Rows whose words tell their value, every so many under the next one's label.

    Also returns the right values of those.
    """
    (field,), (text,) = task.fields, task.inputs
    draw = random.Random(0)
    examples, moved = [], {}
    for n in range(ROWS):
        kind = n % len(values)
        words = " ".join(draw.choices(WORDS[kind], k=4))
        label = values[kind]
        if n % EVERY == 0:
            moved[str(n)], label = label, values[(kind + 1) % len(values)]
        examples.append(Example(str(n), {text: f"{words} {n}"}, {field: label}))
    return examples, moved


def test_labels_that_were_moved_stand_first(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    task = load_task(str(SKELETON / "task.toml"))
    examples, moved = made(task, list(task.fields["queue"].labels[:3]))
    rows = tmp_path / "rows.jsonl"
    lines = (json.dumps({"id": e.id, **e.inputs, **e.labels}) for e in examples)
    rows.write_text("\n".join(lines))
    errors(str(rows), str(SKELETON / "task.toml"), as_json=True)
    said = json.loads(capsys.readouterr().out)
    assert said["rows"] == ROWS
    check([(e["id"], e["suggested"]) for e in said["errors"]], moved)


def test_sets_that_were_moved_stand_first() -> None:
    task = load_task("intents")
    examples, moved = made(task, [(str(v),) for v in task.fields["intents"].labels[:3]])
    check([(e.example.id, e.suggested) for e in find_label_errors(task, examples)], moved)


def check(found: Sequence[tuple[str, Label]], moved: Mapping[str, Label]) -> None:
    """Nothing else stands first, each is moved back, and of those moved three in four are found."""
    first = dict(found[: len(moved)])
    assert first.items() <= moved.items()
    assert len(first) >= 0.75 * len(moved)


def test_too_few_rows_are_a_message() -> None:
    task = load_task(str(SKELETON / "task.toml"))
    examples, _ = made(task, list(task.fields["queue"].labels[:3]))
    with pytest.raises(UserError, match="rows are too few"):
        find_label_errors(task, examples[:4])
