"""Copies that differ in a word, an input or what is not seen; and pairs that are no copies."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import numpy as np
import pytest

from evalkit.data import Fingerprints, Kind, find_overlap, load_fingerprints
from evalkit.data import fingerprints as module
from evalkit.data.normalising import normalise_text, normalised_inputs, words_of
from evalkit.data.word_edits import MOST_WORDS, edit_hashes
from evalkit.records import Example

INPUTS = {"app": "Post Office", "body": "Your parcel waits at the counter until six", "title": ""}
CHINESE = {"app": "菜鸟", "body": "您的包裹已经到达门口", "title": "取件提醒"}


def row(inputs: dict[str, str], **changes: str) -> Example:
    return Example("r", inputs | changes, {})


COPIES = {
    "one word replaced": row(INPUTS, body="Your letter waits at the counter until six"),
    "one inserted": row(INPUTS, body="Your big parcel waits at the counter until six"),
    "one left out": row(INPUTS, body="Your parcel waits at the counter until"),
    "shuffled": row(INPUTS, body="until six the parcel waits at Your counter"),
    "another app": row(INPUTS, app="Royal Couriers Of The North"),
    "a title added": row(INPUTS, title="Come and get it"),
    "zero-width": row(INPUTS, body="Your par\u200bcel wa\u200dits at the co\u00adunter until six"),
    "look-alikes": row(INPUTS, body="Yоur раrсеl wаits аt thе соuntеr until siх"),
    "a Chinese word replaced": row(CHINESE, body="您的快递已经到达门口"),
    "another Chinese app": row(CHINESE, app="丰巢"),
}
OTHERS = {
    "two words replaced": row(INPUTS, body="Your letter waits at the counter till six"),
    "another body": row(INPUTS, body="The counter is closed, come again on Monday"),
    "the same words, others between": row(INPUTS, body="Your parcel waits, the post man is ill"),
    "two Chinese words replaced": row(CHINESE, body="您的快递已经离开门口"),
}
KNOWN = [row(INPUTS), row(CHINESE)]


@pytest.mark.parametrize("name", COPIES)
def test_copies_are_found_with_their_twins(name: str):
    (match,) = find_overlap(KNOWN, [COPIES[name]]).matches
    assert match is not None
    assert match.position == ("Chinese" in name)
    assert match.kind is (Kind.NORMALISED if name in ("zero-width", "look-alikes") else Kind.NEAR)
    assert Fingerprints.of(KNOWN).match([COPIES[name]])[0] is not None


@pytest.mark.parametrize("name", OTHERS)
def test_what_differs_in_more_is_another_row(name: str):
    assert find_overlap(KNOWN, [OTHERS[name]], threshold=0.9).matches == (None,)
    known = Fingerprints.of(KNOWN, threshold=0.9)
    assert known.match([OTHERS[name]]) == (None,)


def test_a_short_text_is_near_no_other():
    known = [row(INPUTS, app="", body="Call me back")]
    assert find_overlap(known, [row(INPUTS, app="", body="Call me now")]).matches == (None,)


def test_hashes_are_of_all_words_but_one_word_or_input():
    text = "a b\nc d e f"
    hashes = edit_hashes(text)
    assert sorted(hashes.values(), reverse=True) == [1.0, *[5 / 6] * 6, 4 / 6]
    assert set(hashes) == set(edit_hashes("b a\nf e d c"))
    assert edit_hashes("a b c") == {}
    assert len(edit_hashes(text, least_share=1.0)) == 1


def test_of_a_long_text_the_bag_alone_is_hashed():
    long = " ".join(f"w{n}" for n in range(MOST_WORDS + 1))
    assert list(edit_hashes(long).values()) == [1.0]


def test_hashes_do_not_give_words_away():
    """Two hashes of one row differ by nothing that a list of words could be held against."""
    text = "alpha beta gamma delta epsilon"
    hashes = list(edit_hashes(text))
    words = {
        int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")
        for word in words_of(text)
    }
    assert not words & {(a - b) % 2**64 for a in hashes for b in hashes}


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("pay\u200bpal", "paypal"),
        ("Раураl", "paypal"),
        ("ΡΑΥΡΑL", "paupal"),
        ("ｐａｙｐａｌ", "paypal"),
        ("ᴘᴀʏᴘᴀʟ", "paypal"),
        ("co\u00adoperate", "cooperate"),
        ("👩\u200d🚀", "👩🚀"),
    ],
)
def test_what_looks_the_same_is_the_same(text: str, plain: str):
    assert normalise_text(text) == plain


def test_other_scripts_stay_apart():
    words = ["ночь", "день", "молоко", "νύχτα", "μέρα", "օր", "妈妈", "夜", "夜中", "रात", "यात"]
    assert len({normalise_text(word) for word in words}) == len(words)
    assert normalise_text("НОЧЬ") == normalise_text("ночь")


def test_fingerprints_of_the_first_schema_are_still_read_and_find_look_alikes(tmp_path):
    """They hold no edits; of rows written with look-alikes they know those as they stood."""
    cyrillic = row({"app": "", "body": "Ваша посылка ждёт на почте до шести", "title": ""})
    old = module.Fingerprints.of([row(INPUTS)])
    first = replace(old, edits=None)
    first.save(tmp_path / module.FILE)
    read = load_fingerprints(tmp_path / module.FILE)
    assert (read.schema, read.edits) == (1, None)
    kinds = [match and match.kind for match in read.match(list(COPIES.values()))]
    by_name = dict(zip(COPIES, kinds, strict=True))
    assert by_name["zero-width"] == by_name["look-alikes"] == Kind.NORMALISED
    assert by_name["another app"] is None
    stood = normalised_inputs(cyrillic, module.normalise_text_v1)
    known = replace(
        first,
        normalised=np.array([module._hash(stood)], dtype=np.uint64),
        signatures=module.sign([stood]),
        exact=np.array([], dtype=np.uint64),
    )
    assert known.match([cyrillic])[0].kind is Kind.NORMALISED
