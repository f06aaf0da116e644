"""Small files as users have them."""

import json
from pathlib import Path

import pytest

from evalkit.tasks import load_task

SHARED = Path(__file__).parents[2].parent / "shared" / "data"


def notification(number=1, folder="Work", priority=1, **inputs):
    """One row as the notification task has them."""
    texts = {"app": "com.slack", "app_display_name": "Slack", "title": "#dev", "body": "Hello"}
    return {
        "id": f"n{number}",
        "notification": {**texts, **inputs},
        "classification": {"folder": folder, "priority": priority},
    }


@pytest.fixture
def three_levels():
    return load_task("notifications-3level")


@pytest.fixture
def five_levels():
    return load_task("notifications-5level")


@pytest.fixture
def intents():
    return load_task("intents")


@pytest.fixture
def write(tmp_path):
    """Write rows (objects, or text as it is) as JSON lines and return the path as text."""

    def write_rows(*rows, name="rows.jsonl"):
        lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
        path = tmp_path / name
        path.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return str(path)

    return write_rows


@pytest.fixture
def row():
    """Make one notification row."""
    return notification


@pytest.fixture
def shared():
    """Return the path of a published file, or skip where it is not at hand."""

    def find(name):
        if not (SHARED / name).is_file():
            pytest.skip(f"published data '{name}' is not beside the repository (shared/data)")
        return str(SHARED / name)

    return find
