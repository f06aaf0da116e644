"""Reading rows from files and from a stand-in for the hub."""

import gzip
import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from evalkit.data import load_dataset, sources
from evalkit.data.sources import class_names, read_source
from evalkit.errors import UserError

HEADER = "id,notification.app,notification.title,notification.body,folder,priority"


def test_blank_lines_and_a_bom_are_no_rows(tmp_path, write, row, three_levels):
    path = tmp_path / "bom.jsonl"
    text = (tmp_path / write(row(1), "", "  ", row(2))).read_bytes()
    path.write_bytes(b"\xef\xbb\xbf" + text)
    dataset = load_dataset(str(path), three_levels)
    assert [example.id for example in dataset.examples] == ["n1", "n2"]


def test_a_line_separator_inside_a_string_does_not_end_the_row(tmp_path, three_levels, row):
    path = tmp_path / "rows.ndjson"
    path.write_text(json.dumps(row(body="one\u2028two"), ensure_ascii=False), encoding="utf-8")
    assert load_dataset(str(path), three_levels).examples[0].inputs["body"] == "one\u2028two"


@pytest.mark.parametrize(
    ("line", "why"),
    [
        ('{"id": "1", "notification": {"app": "x"', "a '}' seems to be missing"),
        ('[{"id": 1},', "one JSON object per line, not one list"),
        ('["a"]', "a list, not an object"),
        ("42", "a whole number, not an object"),
        ('{"id": 1, "id": 2}', "key 'id' appears twice"),
        ("[" * 100_000, "not valid JSON"),
        ('{"id": ' + "9" * 5000 + "}", "not valid JSON"),
        ('{"id": "\\ud83d", "x"}', "not valid JSON"),
    ],
)
def test_lines_that_are_no_object(write, row, three_levels, line, why):
    source = write(row(1), line)
    with pytest.raises(UserError) as caught:
        load_dataset(source, three_levels)
    assert str(caught.value).startswith(f"{source}:2: ")
    assert why in str(caught.value)
    assert "--on-bad-row skip" in str(caught.value)
    assert load_dataset(source, three_levels, on_bad_row="skip").skipped[0].where == f"{source}:2"


def test_bytes_that_are_not_utf8_are_one_bad_row(tmp_path, write, row, three_levels):
    path = tmp_path / "latin.jsonl"
    good = (tmp_path / write(row(1))).read_bytes()
    path.write_bytes(good + '{"id": "caf\xe9"}\n'.encode("latin-1"))
    with pytest.raises(UserError, match=r"latin.jsonl:2: not valid UTF-8 at byte 12"):
        load_dataset(str(path), three_levels)
    assert len(load_dataset(str(path), three_levels, on_bad_row="skip").examples) == 1


@pytest.mark.parametrize("encoding", ["UTF-16", "UTF-32"])
def test_wide_unicode_is_named(tmp_path, three_levels, encoding):
    for name in ("rows.jsonl", "rows.csv"):
        (tmp_path / name).write_text("{}", encoding=encoding)
        with pytest.raises(UserError, match=f"is {encoding}"):
            load_dataset(str(tmp_path / name), three_levels)


def test_a_missing_file_names_a_near_one(write, row, three_levels, tmp_path):
    write(row(), name="train.jsonl")
    with pytest.raises(UserError, match=r"no file .*trian.jsonl\. Did you mean 'train.jsonl'"):
        load_dataset(str(tmp_path / "trian.jsonl"), three_levels)
    with pytest.raises(UserError, match=r"its folder .* does not exist"):
        load_dataset(str(tmp_path / "nowhere" / "rows.jsonl"), three_levels)


def test_what_is_no_file_and_what_lies_beside_it(write, row, three_levels):
    there = Path(write(row(1), name="rows.csv"))
    with pytest.raises(UserError, match=r"no file .*rows\.parquet\. Did you mean 'rows\.csv'"):
        load_dataset(str(there.with_name("rows.parquet")), three_levels)
    with pytest.raises(UserError, match=r"^/dev/null is a device or a pipe\."):
        load_dataset("/dev/null", three_levels)


def test_folders_and_unknown_endings(write, row, three_levels, tmp_path):
    with pytest.raises(UserError, match="is a folder"):
        load_dataset(str(tmp_path), three_levels)
    with pytest.raises(UserError, match=r"ending in '.xml'; evalkit reads .jsonl"):
        load_dataset(write(row(), name="rows.xml"), three_levels)
    with pytest.raises(UserError, match=r"pack \.jsonl"):
        load_dataset(write(row(), name="rows.parquet.gz"), three_levels)
    with pytest.raises(UserError, match="cannot be read"):
        load_dataset(write(row(), name="rows.jsonl.gz"), three_levels)


@pytest.mark.parametrize("name", ["empty.jsonl", "empty.csv"])
def test_a_file_without_rows(tmp_path, three_levels, name):
    (tmp_path / name).write_text("\n\n", encoding="utf-8")
    with pytest.raises(UserError, match="holds no rows"):
        load_dataset(str(tmp_path / name), three_levels)


def test_csv_with_whole_and_short_names(write, three_levels):
    source = write(
        HEADER,
        '1,com.slack,#dev,"Hello, ""you""\nand you",Work,3',
        "",
        "2,mail,Mum,Dinner?, Personal ,1",
        name="rows.csv",
    )
    first, second = load_dataset(source, three_levels).examples
    assert first.inputs["body"] == 'Hello, "you"\nand you'
    assert first.labels == {"folder": "Work", "priority": 3}
    assert second.labels["folder"] == "Personal"


def test_csv_lines_are_those_where_rows_start(write, three_levels):
    source = write(HEADER, '1,a,"two\nlines",b,Work,3', "2,a,b,c,Wrok,3", name="rows.csv")
    with pytest.raises(UserError, match=r"rows.csv:4: field 'folder': 'Wrok' is not one of"):
        load_dataset(source, three_levels)


def test_csv_without_ids_counts_lines(write, three_levels):
    source = write("app,title,body,folder,priority", "a,b,c,Work,3", name="rows.csv")
    assert load_dataset(source, three_levels).examples[0].id == "row-000002"


def test_an_empty_csv_cell_yields_to_the_next_path(write, three_levels):
    header = "app_display_name,app,title,body,folder,priority"
    source = write(header, ",com.slack,,Hi,Work,3", name="rows.csv")
    inputs = load_dataset(source, three_levels).examples[0].inputs
    assert inputs == {"app_name": "com.slack", "title": "", "body": "Hi"}


def test_an_empty_csv_label_is_missing(write, three_levels):
    source = write(HEADER, "1,a,b,c,,3", name="rows.csv")
    with pytest.raises(UserError, match=r"field 'folder': nothing at 'classification\.folder'"):
        load_dataset(source, three_levels)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        ("1,a,b,c,Work", "5 cells under 6 columns"),
        ("1,a,b,c,d,Work,3", "7 cells under 6 columns"),
        ('1,a,"b" c,d,Work,3', "not valid CSV in line 2"),
        ("1,a,b,c,Work,3.5", "field 'priority': '3.5' is not one of 1, 2, 3"),
    ],
)
def test_csv_records_that_do_not_fit(write, three_levels, record, why):
    source = write(HEADER, record, "2,a,b,c,Work,3", name="rows.csv")
    with pytest.raises(UserError) as caught:
        load_dataset(source, three_levels)
    assert why in str(caught.value)
    assert len(load_dataset(source, three_levels, on_bad_row="skip").examples) == 1


def test_a_quote_never_closed_does_not_swallow_rows_silently(write, three_levels):
    source = write(HEADER, "1,a,b,c,Work,3", '2,a,"b,c,Work,3', "3,a,b,c,Work,3", name="rows.csv")
    with pytest.raises(UserError, match=r"rows.csv:3: not valid CSV in lines 3-4"):
        load_dataset(source, three_levels)


def test_csv_bytes_that_are_not_utf8_are_one_bad_row(tmp_path, three_levels):
    path = tmp_path / "rows.csv"
    rows = f"{HEADER}\n1,a,caf\xe9,c,Work,3\n2,a,b,c,Work,3\n"
    path.write_bytes(rows.encode("latin-1"))
    dataset = load_dataset(str(path), three_levels, on_bad_row="skip")
    assert [bad.why for bad in dataset.skipped] == ["not valid UTF-8. Save the file as UTF-8."]
    assert len(dataset.examples) == 1


def test_csv_headers_that_cannot_be_right(write, three_levels):
    with pytest.raises(UserError, match="column 'folder' appears twice"):
        load_dataset(write("folder,folder", "a,b", name="twice.csv"), three_levels)
    with pytest.raises(UserError, match="Separate columns with commas"):
        load_dataset(write("id;folder", "1;Work", name="semi.csv"), three_levels)


@pytest.mark.parametrize(
    "cell", ['"payment, order_management"', '"[""payment"", ""order_management""]"']
)
def test_csv_sets(write, intents, cell):
    source = write("prompt,output", f"Pay my order,{cell}", name="rows.csv")
    labels = load_dataset(source, intents).examples[0].labels
    assert labels == {"intents": ("order_management", "payment")}


def test_a_python_list_in_csv_is_explained(write, intents):
    source = write("prompt,output", "Pay,\"['payment']\"", name="rows.csv")
    with pytest.raises(UserError, match=r"is not a JSON list. Write \[\"a\", \"b\"\]"):
        load_dataset(source, intents)


def test_parquet_nested_and_flat(tmp_path, row, three_levels):
    import pyarrow as pa
    import pyarrow.parquet as pq

    misspelt = row(2)
    misspelt["notification"]["app_displayname"] = misspelt["notification"].pop("app_display_name")
    flat = {"id": 3, "app": "a", "title": "b", "body": "c", "folder": "Work", "priority": 3}
    for name, rows in {"nested": [row(1), misspelt], "flat": [flat]}.items():
        pq.write_table(pa.Table.from_pylist(rows), tmp_path / f"{name}.parquet")
    nested = load_dataset(str(tmp_path / "nested.parquet"), three_levels)
    assert [e.inputs["app_name"] for e in nested.examples] == ["Slack", "com.slack"]
    assert load_dataset(str(tmp_path / "flat.parquet"), three_levels).examples[0].id == "3"


@pytest.mark.parametrize("as_dictionary", [True, False])
def test_parquet_that_unfolds_to_more_than_fits(as_dictionary, tmp_path, three_levels, monkeypatch):
    monkeypatch.setattr(sources, "MOST_UNFOLDED", 10_000_000)
    bodies = pa.array(["x" * 1_000_000] * 100)
    bodies = bodies.dictionary_encode() if as_dictionary else bodies
    path = tmp_path / "rows.parquet"
    pq.write_table(pa.table({"body": bodies}), path, compression="zstd")
    assert path.stat().st_size < 100_000
    with pytest.raises(UserError, match="unfolds to more than 10,000,000 bytes"):
        load_dataset(str(path), three_levels)


def test_parquet_rows_are_named_by_position(tmp_path, row, three_levels):
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = tmp_path / "rows.parquet"
    pq.write_table(pa.Table.from_pylist([row(1), row(2, folder="Wrok")]), path)
    with pytest.raises(UserError, match=r"rows\.parquet row 2: field 'folder'"):
        load_dataset(str(path), three_levels)
    path.write_bytes(b"not parquet")
    with pytest.raises(UserError, match="cannot be read as Parquet"):
        load_dataset(str(path), three_levels)


@pytest.fixture
def hub(monkeypatch):
    """Stand in for `datasets`: fill `splits` with rows; `asked` holds what was asked for."""
    state = SimpleNamespace(splits={}, asked=[])

    def load(name, split, revision):
        state.asked.append((name, split, revision))
        if split not in state.splits:
            raise ValueError(f'Unknown split "{split}".\nSecond line')
        return SimpleNamespace(to_list=lambda: state.splits[split])

    def names(name, revision):
        state.asked.append((name, None, revision))
        if name == "no/where":
            raise ConnectionError("Couldn't reach 'no/where' on the Hub")
        return list(state.splits)

    fake = SimpleNamespace(load_dataset=load, get_dataset_split_names=names)
    monkeypatch.setitem(sys.modules, "datasets", fake)
    return state


def test_the_hubs_test_split_is_preferred(hub, row, three_levels):
    hub.splits = {"train": [row(1)], "test": [row(2)]}
    dataset = load_dataset("hf:owner/name", three_levels)
    assert [example.id for example in dataset.examples] == ["n2"]
    assert dataset.notes[0] == "hf:owner/name: split 'test' taken of train, test"
    train = load_dataset("hf:owner/name", three_levels, prefer_split="train")
    assert [example.id for example in train.examples] == ["n1"]


def test_the_only_split_is_taken(hub, row, three_levels):
    hub.splits = {"validation": [row(1)]}
    assert len(load_dataset("hf:owner/name", three_levels).examples) == 1


def test_several_splits_ask_for_a_choice(hub, row, three_levels):
    hub.splits = {"a": [row(1)], "b": [row(2)]}
    with pytest.raises(UserError, match="has splits a, b: choose one, as in hf:owner/name:NAME"):
        load_dataset("hf:owner/name", three_levels)


def test_split_and_revision_reach_the_hub(hub, row, three_levels):
    hub.splits = {"train[:1]": [row(1, folder="Wrok")]}
    with pytest.raises(UserError, match=r"hf:owner/name@refs/pr/1:train\[:1\] row 1: field"):
        load_dataset("hf:owner/name@refs/pr/1:train[:1]", three_levels)
    assert hub.asked == [("owner/name", "train[:1]", "refs/pr/1")]


@pytest.mark.usefixtures("hub")
def test_hub_faults_are_the_users_to_mend(three_levels):
    with pytest.raises(UserError, match=r"ConnectionError: Couldn't reach .* or download the file"):
        load_dataset("hf:no/where", three_levels)
    with pytest.raises(UserError, match=r'Unknown split "nope"\. Check the name'):
        load_dataset("hf:owner/name:nope", three_levels)
    for source in ("hf:a/b/c", "hf:../..", "hf:.a/b", "hf:a/-b"):
        with pytest.raises(UserError, match="write hub datasets as"):
            read_source(source, "test")


def _packed(write, row, name, make):
    rows = [row(1), row(2)]
    path = Path(write(name=name))
    path.write_bytes(make(rows))
    return str(path)


def _lines(rows):
    return "".join(f"{json.dumps(row)}\n" for row in rows).encode()


def _tsv(rows):
    head = "id\tapp_display_name\ttitle\tbody\tfolder\tpriority\n"
    cells = "\tSlack\t#dev\tHello\tWork\t1\n"
    return (head + "".join(f"{row['id']}{cells}" for row in rows)).encode()


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("rows.json", lambda rows: json.dumps(rows).encode()),
        ("bom.json", lambda rows: b"\xef\xbb\xbf" + json.dumps(rows).encode()),
        ("lines.json", _lines),
        ("rows.jsonl.gz", lambda rows: gzip.compress(_lines(rows))),
        ("rows.json.gz", lambda rows: gzip.compress(json.dumps(rows).encode())),
        ("rows.tsv", _tsv),
        ("rows.tsv.gz", lambda rows: gzip.compress(_tsv(rows))),
    ],
)
def test_lists_tabs_and_packed_files(write, row, three_levels, name, make):
    dataset = load_dataset(_packed(write, row, name, make), three_levels)
    found = [(example.id, example.inputs["body"]) for example in dataset.examples]
    assert found == [("n1", "Hello"), ("n2", "Hello")]


@pytest.mark.parametrize("content", [b"[1", b'[{"id": 1, "id": 2}]', b"[" * 100_000])
def test_a_list_that_is_not_json_is_one_message(tmp_path, three_levels, content):
    (tmp_path / "rows.json").write_bytes(content)
    with pytest.raises(UserError, match=r"rows\.json: not valid JSON"):
        load_dataset(str(tmp_path / "rows.json"), three_levels)


def test_a_packed_file_that_breaks_off_is_one_message(tmp_path, three_levels, row):
    (tmp_path / "rows.jsonl.gz").write_bytes(gzip.compress(_lines([row(1)]))[:-12])
    with pytest.raises(UserError, match="cannot be read"):
        load_dataset(str(tmp_path / "rows.jsonl.gz"), three_levels)


def test_a_csv_cell_may_be_longer_than_131072_characters(write, three_levels):
    body = "long words " * 20_000
    source = write(HEADER, f'1,a,b,"{body}",Work,3', name="rows.csv")
    (example,) = load_dataset(source, three_levels).examples
    assert body in example.inputs.values()


@pytest.mark.parametrize("listed", [False, True])
def test_class_numbers_have_the_names_that_the_file_gives_them(tmp_path, intents, listed):
    names = ["payment", "inventory"]
    feature = {"names": names, "_type": "ClassLabel"}
    columns = {
        "prompt": {"dtype": "string", "_type": "Value"},
        "output": {"feature": feature, "_type": "List"} if listed else feature,
    }
    if not listed:
        assert class_names(columns) == {"output": names}
        return
    table = pa.table({"prompt": ["a", "b"], "output": [[1], [0, 1]]}).replace_schema_metadata(
        {"huggingface": json.dumps({"info": {"features": columns}})}
    )
    pq.write_table(table, tmp_path / "rows.parquet")
    dataset = load_dataset(str(tmp_path / "rows.parquet"), intents)
    assert [set(row.labels["intents"]) for row in dataset.examples] == [
        {"inventory"},
        {"payment", "inventory"},
    ]


@pytest.mark.parametrize("metadata", [{}, {"huggingface": "{"}, {"huggingface": '{"info": []}'}])
def test_a_file_without_class_names_is_read_as_it_stands(tmp_path, intents, metadata):
    table = pa.table({"prompt": ["a"], "output": [["payment"]]}).replace_schema_metadata(metadata)
    pq.write_table(table, tmp_path / "rows.parquet")
    (example,) = load_dataset(str(tmp_path / "rows.parquet"), intents).examples
    assert example.labels["intents"] == ("payment",)
