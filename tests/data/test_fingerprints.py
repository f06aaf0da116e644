"""What an adapter carries of its training inputs."""

import hashlib
import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evalkit.data import Fingerprints, Kind, Match, load_fingerprints
from evalkit.data.fingerprints import FILE
from evalkit.errors import UserError
from evalkit.records import Example

TEXTS = [
    "Your parcel from the garden centre will arrive on Friday between ten and noon",
    "妈妈：到家了吗？外面冷记得穿外套",
    "Payment of $523.45 confirmed",
    "🎉",
    "",
]
GOLDEN = "12eee5ce219bb47a9f63e9e6543eee3c73f817eb586161f84d3af0d5cbbe6b93"


def examples_of(texts):
    return [Example(str(i), {"app": "Mail", "body": text}, {}) for i, text in enumerate(texts)]


def bytes_of(fingerprints, folder):
    fingerprints.save(folder / FILE)
    return (folder / FILE).read_bytes()


def test_there_and_back(tmp_path):
    made = Fingerprints.of(examples_of(TEXTS), threshold=0.7, data_sha256="ab" * 32)
    made.save(tmp_path / FILE)
    read = load_fingerprints(tmp_path / FILE)
    assert (read.rows, read.threshold, read.data_sha256) == (5, 0.7, "ab" * 32)
    for name in ("exact", "normalised", "signatures"):
        assert getattr(read, name).tolist() == getattr(made, name).tolist()
    assert [path.name for path in tmp_path.iterdir()] == [FILE]


def test_kinds():
    known = Fingerprints.of(examples_of(TEXTS))
    asked = [
        TEXTS[0],
        TEXTS[0].upper(),
        TEXTS[0].replace("Friday", "Fridays"),
        "Payment of 7 CONFIRMED",
    ]
    exact, normalised, near, digits = known.match(examples_of(asked))
    assert exact == Match(Kind.EXACT, 1.0)
    assert normalised == digits == Match(Kind.NORMALISED, 1.0)
    assert near.kind is Kind.NEAR
    assert 0.8 <= near.similarity < 1
    assert known.match(examples_of(["something else", "👍"])) == (None, None)


@settings(max_examples=30, deadline=None)
@given(st.lists(st.text(max_size=12), max_size=8))
def test_own_rows_are_exact(texts):
    known = Fingerprints.of(examples_of(texts))
    assert known.match(examples_of(texts)) == (Match(Kind.EXACT, 1.0),) * len(texts)


def test_nothing_in_nothing_out(tmp_path):
    Fingerprints.of([]).save(tmp_path / FILE)
    none = load_fingerprints(tmp_path / FILE)
    assert none.rows == len(none.exact) == len(none.signatures) == 0
    assert none.match(examples_of(TEXTS)) == (None,) * 5
    assert Fingerprints.of(examples_of(TEXTS)).match([]) == ()


def test_the_same_rows_give_the_same_bytes_in_any_order(tmp_path):
    content = bytes_of(Fingerprints.of(examples_of(TEXTS), data_sha256="ab"), tmp_path)
    again = Fingerprints.of(examples_of(TEXTS)[::-1], data_sha256="ab")
    assert bytes_of(again, tmp_path) == content
    assert bytes_of(Fingerprints.of(examples_of(TEXTS[1:])), tmp_path) != content


def test_the_hashes_stay_what_they_are():
    """Files written years ago are held against rows of today: change SCHEMA with these."""
    made = Fingerprints.of(examples_of(TEXTS))
    content = b"".join(a.tobytes() for a in (made.exact, made.normalised, made.signatures))
    assert hashlib.sha256(content).hexdigest() == GOLDEN


def test_a_row_takes_144_bytes_and_8_for_each_way_to_leave_a_word_out(tmp_path):
    made = Fingerprints.of(examples_of(f"{'x' * i} row" for i in range(200)))
    assert len(made.edits) == 0  # three words and fewer
    assert 144 * 200 < len(bytes_of(made, tmp_path)) < 144 * 200 + 1000
    made = Fingerprints.of(examples_of(f"w{'x' * i} is row of four" for i in range(200)))
    # A bag of six words and five without one of them; without the word that differs all are one.
    assert len(made.edits) == 200 * 6 + 1


def test_no_text_is_in_the_file(tmp_path):
    content = bytes_of(Fingerprints.of(examples_of(TEXTS)), tmp_path)
    for text in ("parcel", "garden", "Mail", "妈妈", "523"):
        assert text.encode() not in content


def with_header(content, **changes):
    """The file with other words in its header."""
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    own = json.loads(header["__metadata__"]["evalkit"]) | changes
    header["__metadata__"]["evalkit"] = json.dumps(own)
    written = json.dumps(header).encode()
    return len(written).to_bytes(8, "little") + written + content[start:]


DAMAGED = {
    "empty": lambda content: b"",
    "cut": lambda content: content[:-1],
    "a bit flipped": lambda content: content[:-1] + bytes([content[-1] ^ 1]),
    "text": lambda content: b"no fingerprints at all",
    "no arrays": lambda content: b"\x02" + bytes(7) + b"{}",
    "rows changed": lambda content: with_header(content, rows=6),
    "threshold changed": lambda content: with_header(content, threshold=0.5),
    "data changed": lambda content: with_header(content, data_sha256="ff"),
    "another version": lambda content: with_header(content, schema=99),
    "other n-grams": lambda content: with_header(content, ngram=5),
    "a long header": lambda content: b"\xff" * 8 + content[8:],
}


def test_a_changed_header_is_read_where_the_change_is_none(tmp_path):
    content = bytes_of(Fingerprints.of(examples_of(TEXTS)), tmp_path)
    (tmp_path / FILE).write_bytes(with_header(content))
    assert load_fingerprints(tmp_path / FILE).rows == 5


@pytest.mark.parametrize("name", DAMAGED)
def test_a_file_that_is_not_whole(tmp_path, name):
    content = DAMAGED[name](bytes_of(Fingerprints.of(examples_of(TEXTS)), tmp_path))
    (tmp_path / FILE).write_bytes(content)
    with pytest.raises(UserError, match="Make it again") as caught:
        load_fingerprints(tmp_path / FILE)
    assert str(tmp_path / FILE) in str(caught.value)
    assert ("another version" in str(caught.value)) == (
        name in ("another version", "other n-grams")
    )


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(UserError, match="no training fingerprints at"):
        load_fingerprints(tmp_path / FILE)


def test_importing_data_loads_nothing_heavy():
    script = "import sys, evalkit.data; print({'numpy', 'scipy', 'safetensors'} & set(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "set()"
