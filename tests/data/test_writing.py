"""Files written whole or not at all, and never over the source."""

import os

import pytest

from evalkit.data.writing import check_outputs, written_whole
from evalkit.errors import UserError


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_text("precious\n")
    return path


@pytest.mark.parametrize("replace", [True, False])
def test_the_source_is_never_an_output(source, tmp_path, monkeypatch, replace):
    monkeypatch.chdir(tmp_path)
    symlink, hard, folder = (tmp_path / name for name in ("symlink.jsonl", "hard.jsonl", "folder"))
    symlink.symlink_to(source)
    os.link(source, hard)
    folder.symlink_to(tmp_path)
    relative = source.relative_to(tmp_path)
    for output in (source, relative, symlink, hard, folder / source.name):
        with pytest.raises(UserError, match="never overwritten"):
            check_outputs([output], source, replace=replace)
    with pytest.raises(UserError, match="never overwritten"):
        check_outputs([source], symlink, replace=replace)


def test_what_is_there_is_replaced_only_on_request(source, tmp_path):
    there = tmp_path / "there.md"
    there.write_text("mine")
    with pytest.raises(UserError, match="--force"):
        check_outputs([there], source)
    check_outputs([there], source, replace=True)
    for outputs, message in (([tmp_path], "a folder"), ([tmp_path / "x"] * 2, "same name")):
        with pytest.raises(UserError, match=message):
            check_outputs(outputs, source, replace=True)


def test_all_files_come_at_once_and_none_where_it_breaks_off(tmp_path):
    one, two = tmp_path / "deep" / "one", tmp_path / "two"
    two.write_text("before")

    def break_off():
        with written_whole([one, two]) as (first, second):
            first.write_text("half")
            second.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        break_off()
    assert two.read_text() == "before"
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "two"]
    with written_whole([one, two]) as (first, second):
        first.write_text("1")
        second.write_text("2")
        assert not one.exists()
    assert (one.read_text(), two.read_text()) == ("1", "2")
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["deep", "one", "two"]


def test_a_place_that_cannot_be_written_is_the_users_to_mend(tmp_path):
    (tmp_path / "file").write_text("")
    with (
        pytest.raises(UserError, match="Nothing was written"),
        written_whole([tmp_path / "file" / "out"]),
    ):
        pass
