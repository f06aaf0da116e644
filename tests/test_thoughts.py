"""What stands around an answer: one list, documented, and added to by a system."""

from __future__ import annotations

from pathlib import Path

import pytest

from evalkit.errors import UserError
from evalkit.records import ParseFailure, Prediction
from evalkit.systems import load_system
from evalkit.thoughts import ALL, CHANNELS, PAIRS, Thoughts

ROOT = Path(__file__).parents[1]
RIGHT = '{"folder": "Work", "priority": 3}'
WRONG = '{"folder": "Alerts", "priority": 1}'
SYSTEM = 'task = "notifications-3level"\nformat = "json"\nengine = "replay"\nanswers = "a.jsonl"\n'


def test_the_list_in_the_docs_is_the_one_in_use():
    text = (ROOT / "docs" / "formats.md").read_text(encoding="utf-8")
    listed = text.partition("## Thoughts")[2].partition("```text\n")[2].partition("```")[0]
    assert [tuple(line.split()) for line in listed.splitlines()] == [*PAIRS, *CHANNELS]


@pytest.mark.parametrize(("opening", "closing"), [*PAIRS, *CHANNELS])
def test_each_pair_hides_what_it_encloses(opening: str, closing: str):
    assert ALL.removed(f"a{opening}b{closing}c") == "a\nc"
    assert ALL.removed(f"a{opening}b") == "a\n"
    assert ALL.unended(f"a{opening}b") == opening
    assert ALL.unended(f"{opening}b{closing}c") is None


@pytest.mark.parametrize("pair", PAIRS)
def test_a_prompt_that_opens_a_thought(pair: tuple[str, str]):
    opening, closing = pair
    assert ALL.opened_by(f"<|assistant|>{opening}\n") == opening
    assert ALL.opened_by(f"{opening}\n\n{closing}\n\n") is None
    assert ALL.put_back(opening, "hm") == f"{opening}hm"
    assert ALL.put_back(opening, f"hm{closing}x") == f"hm{closing}x"


def test_a_system_adds_marks_of_its_own(tmp_path: Path):
    (tmp_path / "system.toml").write_text(SYSTEM)
    plain = load_system(tmp_path)
    (tmp_path / "system.toml").write_text(SYSTEM + 'thoughts = [["<plan>", "</plan>"]]\n')
    added = load_system(tmp_path)
    text = f"<plan>{WRONG}</plan>{RIGHT}"
    for system, folder in ((plain, "Alerts"), (added, "Work")):
        said = system.format.parse(system.task, text).lenient
        assert isinstance(said, Prediction)
        assert said.fields["folder"] == folder
    assert added.format.thoughts == Thoughts((("<plan>", "</plan>"),))
    assert added.with_task(added.task).format.thoughts == added.format.thoughts
    said = added.format.parse(added.task, f"<think>{WRONG}</think>").lenient
    assert isinstance(said, ParseFailure)


@pytest.mark.parametrize("thoughts", ['[["<plan>", ""]]', '["<plan>"]', '[["a", "b", "c"]]'])
def test_marks_that_are_none_are_refused(thoughts: str, tmp_path: Path):
    (tmp_path / "system.toml").write_text(f"{SYSTEM}thoughts = {thoughts}\n")
    with pytest.raises(UserError, match="thoughts"):
        load_system(tmp_path)
