from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import UserError
from evalkit.records import Example
from evalkit.training.topics import Topic, check_rows, load_topics

FILE = """
Parcels = "what is on its way"

["Code reviews"]
description = "changes that wait for a look"
descriptions = ["diffs"]
names = ["Pull requests", "代码评审"]
near = ["Builds"]

[Builds]
description = "red and green"
"""


def write(folder: Path, text: str) -> Path:
    path = folder / "topics.toml"
    path.write_text(text, encoding="utf-8")
    return path


def test_topics_are_read_and_nearness_holds_both_ways(tmp_path: Path):
    assert load_topics(write(tmp_path, FILE)) == {
        "Parcels": Topic(description="what is on its way"),
        "Code reviews": Topic(
            description="changes that wait for a look",
            descriptions=("diffs",),
            names=("Pull requests", "代码评审"),
            near=("Builds",),
        ),
        "Builds": Topic(description="red and green", near=("Code reviews",)),
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("A = ", "is not valid TOML"),
        ("A = 3", "A: "),
        ('[A]\nnames = ["B"]', "A.description is missing"),
        ('A = ""', "A.description: "),
        ('[A]\ndescription = "x"\nnames = ["b"]\n[B]\ndescription = "y"', "'B' stands for A and B"),
        ('[Aa]\ndescription = "x"\nnear = ["Ba"]', "Aa.near: there is no topic 'Ba'"),
    ],
)
def test_faults_are_named(tmp_path: Path, text: str, said: str):
    path = write(tmp_path, text)
    with pytest.raises(UserError) as caught:
        load_topics(path)
    assert str(caught.value).startswith(str(path))
    assert said in str(caught.value)


def test_a_missing_file_is_a_users_mistake(tmp_path: Path):
    with pytest.raises(UserError, match="cannot be read"):
        load_topics(tmp_path / "topics.toml")


def test_a_row_of_no_known_topic_is_refused():
    rows = [Example("1", {}, {}), Example("2", {}, {}, {"topic": "Parcel"})]
    check_rows(rows[:1], {})
    with pytest.raises(UserError, match=r"row .2. is of topic .Parcel.*Did you mean .Parcels"):
        check_rows(rows, {"Parcels": Topic(description="x")})
