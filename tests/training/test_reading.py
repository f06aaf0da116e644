from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evalkit.data.sources import find_source
from evalkit.errors import UserError
from evalkit.tasks import load_task
from evalkit.training.reading import read_rows
from evalkit.training.recipe import Recipe, RowsRecipe
from evalkit.training.rows import prepare_rows

TASK = load_task("notifications-3level")


def row(name: str, priority: int, **more: Any) -> dict[str, Any]:
    texts = {"app_display_name": "Mail", "title": name, "body": "Hello"}
    labels = {"folder": "Work", "priority": priority}
    return {"id": name, "notification": texts, "classification": labels, **more}


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A system's folder; three files lie two floors up, and one beside it."""
    files = {
        "own.jsonl": [row("a", 5, topic="Tea"), row("b", 1)],
        "published.jsonl": [row("a", 2), row("pub c", 4), row("pub d", 5)],
        "three.jsonl": [row("e", 3), row("f", 1)],
        "dev.jsonl": [row("b", 1), row("dev g", 4)],
        "adapters/tiny/beside.jsonl": [row("h", 1)],
    }
    folder = tmp_path / "adapters" / "tiny"
    folder.mkdir(parents=True)
    for name, rows in files.items():
        text = "".join(json.dumps(one) + "\n" for one in rows)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    return folder


def seen(recipe: RowsRecipe, folder: Path, **options: Any) -> list[str]:
    read = read_rows(recipe, TASK, folder, **options)
    rows = prepare_rows(read.dataset, recipe, read.repeats, read.dev)
    return [f"{example.id}={example.labels['priority']}" for example in rows.seen]


def recipe_of(**keys: Any) -> RowsRecipe:
    return RowsRecipe.model_validate(keys)


def test_one_source_is_read_as_it_is(project: Path):
    recipe = recipe_of(data="../../own.jsonl")
    assert seen(recipe, project) == ["a=3", "b=1"]
    read = read_rows(recipe, TASK, project)
    assert (read.named, read.repeats, read.dev) == ((), {}, ())
    assert read.dataset.examples[0].tags == {}


def test_several_sources_each_by_its_own_mapping(project: Path):
    recipe = recipe_of(
        data=["../../published.jsonl", "../../three.jsonl"],
        sources=[{"data": "../../own.jsonl", "repeat": 2}],
        deduplicate=False,
    )
    # Five levels and three; of equal ids each has its own; repeats come round by round.
    first = ["a=1", "pub c=3", "pub d=3", "2:e=3", "2:f=1", "3:a=3", "3:b=1"]
    assert seen(recipe, project) == [*first, "3:a=3", "3:b=1"]
    read = read_rows(recipe, TASK, project)
    assert [(s["data"], s["rows"], s["repeat"], s["label_mappings"]) for s in read.named] == [
        ("published.jsonl", 3, 1, {"priority": "five-level"}),
        ("three.jsonl", 2, 1, {}),
        ("own.jsonl", 2, 2, {"priority": "five-level"}),
    ]
    assert len({source["sha256"] for source in read.named}) == 3


def test_a_row_that_stands_in_two_sources_is_that_of_the_first(project: Path):
    """With the first one's label and repeats."""
    published, own = {"data": "../../published.jsonl"}, {"data": "../../own.jsonl", "repeat": 2}
    assert seen(recipe_of(sources=[published, own]), project) == [
        *("a=1", "pub c=3", "pub d=3", "2:b=1", "2:b=1")
    ]
    assert seen(recipe_of(sources=[own, published]), project) == [
        *("a=3", "b=1", "2:pub c=3", "2:pub d=3", "a=3", "b=1")
    ]


def test_a_source_may_name_its_mapping(project: Path):
    published = {"data": "../../three.jsonl", "mapping": "five-level"}
    assert seen(recipe_of(sources=[published]), project) == ["e=2", "f=1"]
    with pytest.raises(UserError, match="no label mapping 'seven-level'"):
        seen(recipe_of(sources=[published | {"mapping": "seven-level"}]), project)


def test_rows_are_counted_in_each_source(project: Path):
    both = ["../../published.jsonl", "../../three.jsonl"]
    assert seen(recipe_of(data=both, rows=1), project) == ["a=1", "2:e=3"]
    sources = [{"data": "../../own.jsonl", "rows": 1}]
    recipe = recipe_of(data=both[0], sources=sources, rows=2, deduplicate=False)
    assert seen(recipe, project) == ["a=1", "pub c=3", "2:a=3"]
    assert seen(recipe_of(sources=sources), project) == ["a=3"]


def test_data_of_the_command_line_stands_in_for_the_published_source(project: Path):
    file = str(project.parents[1] / "three.jsonl")
    own = [{"data": "../../own.jsonl"}]
    hub = recipe_of(data="hf:owner/name", sources=own)
    assert seen(hub, project, data=file) == ["e=3", "f=1", "2:a=3", "2:b=1"]
    listed = recipe_of(data=["../../own.jsonl", "hf:owner/name"])
    assert seen(listed, project, data=file) == ["a=3", "b=1", "2:e=3", "2:f=1"]
    # `mapping` is of that source alone.
    assert seen(hub, project, data=file, mapping="five-level")[:2] == ["e=2", "f=1"]


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"sources": [{"data": "../../own.jsonl"}]}, "it names no source that"),
        ({"data": ["../../own.jsonl", "../../three.jsonl"]}, "it names several sources that"),
    ],
)
def test_data_that_has_nothing_to_stand_in_for_is_refused(
    project: Path, keys: dict[str, Any], said: str
):
    with pytest.raises(UserError) as caught:
        seen(recipe_of(**keys), project, data="x.jsonl")
    assert said in str(caught.value)


def test_dev_rows_of_a_file_are_held_out_and_their_repeats_dropped(project: Path):
    recipe = recipe_of(data="../../own.jsonl", dev_data="../../dev.jsonl")
    read = read_rows(recipe, TASK, project)
    rows = prepare_rows(read.dataset, recipe, read.repeats, read.dev)
    assert [example.id for example in rows.train] == ["a"]
    assert [(e.id, e.labels["priority"]) for e in rows.dev] == [("dev:b", 1), ("dev:dev g", 3)]
    assert rows.counts()["dev_repeats_dropped"] == 1
    assert "1 rows repeat a dev row and were dropped." in rows.describe()


def test_topics_are_read_where_the_recipe_asks_for_them(project: Path):
    keys = {"data": "../../own.jsonl", "labels": {"field": "folder", "topics": "topics.toml"}}
    examples = read_rows(Recipe.model_validate(keys), TASK, project).dataset.examples
    assert [example.tags for example in examples] == [{"topic": "Tea"}, {}]
    keys["labels"] = {"field": "folder", "topics": "t.toml", "topic_path": "notification.title"}
    examples = read_rows(Recipe.model_validate(keys), TASK, project).dataset.examples
    assert examples[1].tags == {"topic": "b"}


def test_pairs_are_read_where_the_recipe_asks_for_them(project: Path):
    path = project / "pairs.jsonl"
    path.write_text(json.dumps(row("x", 1, pair="p-1", topic="Tea")) + "\n", encoding="utf-8")
    recipe = Recipe(data="pairs.jsonl", pairs=True)
    assert read_rows(recipe, TASK, project).dataset.examples[0].tags == {"pair": "p-1"}


def test_a_topic_that_is_no_text_is_a_bad_row(project: Path):
    path = project / "bad.jsonl"
    path.write_text(json.dumps(row("x", 1, topic=3)) + "\n", encoding="utf-8")
    keys = {"data": "bad.jsonl", "labels": {"field": "folder", "topics": "topics.toml"}}
    with pytest.raises(UserError, match=r"bad\.jsonl:1: 'topic': 3 is a whole number"):
        read_rows(Recipe.model_validate(keys), TASK, project)


def test_paths_start_at_the_system_or_where_one_is(project: Path, monkeypatch: pytest.MonkeyPatch):
    assert find_source("beside.jsonl", project) == str(project / "beside.jsonl")
    assert find_source("hf:a/b", project) == "hf:a/b"
    monkeypatch.chdir(project.parents[1])
    assert find_source("own.jsonl", project) == "own.jsonl"
    assert seen(recipe_of(data="own.jsonl"), project) == ["a=3", "b=1"]
