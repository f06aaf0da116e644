"""Duplicates of three kinds, within sets and between them."""

import random
import unicodedata
import zlib

import numpy as np
import pytest
from datasketch import MinHash  # type: ignore[import-untyped]  # ships no types
from hypothesis import example, given, settings
from hypothesis import strategies as st

from evalkit.data import (
    Kind,
    Match,
    duplicate_groups,
    find_duplicates,
    find_overlap,
    normalise_text,
)
from evalkit.data.lookalikes import to_skeleton
from evalkit.data.minhash import (
    MARGIN,
    PERMUTATIONS,
    SEED,
    estimate,
    grams,
    sign,
    similar_pairs,
)
from evalkit.data.normalising import normalised_inputs
from evalkit.errors import UserError
from evalkit.records import Example

TEXT = "Your parcel from the garden centre will arrive on Friday between ten and noon"


def examples_of(texts, label="a"):
    return [Example(str(i), {"text": text}, {"field": label}) for i, text in enumerate(texts)]


def similarity(one, other):
    """The Jaccard index, by its definition."""
    some, others = grams(normalise_text(one)), grams(normalise_text(other))
    return len(some & others) / len(some | others)


def random_sentences(n, seed=0):
    rng = random.Random(seed)
    words = ["".join(rng.choices("etaoinshrdlu", k=rng.randint(2, 8))) for _ in range(2000)]
    return words, [" ".join(rng.choices(words, k=rng.randint(16, 24))) for _ in range(n)]


def near_duplicates(n, least, seed=1):
    """Sentences and, of each, one that is at least so similar and not the same."""
    words, sentences = random_sentences(n)
    rng = random.Random(seed)
    changed = []
    for sentence in sentences:
        while True:
            other = sentence.split()
            other[rng.randrange(len(other))] = rng.choice(words)
            if least <= similarity(sentence, " ".join(other)) < 1:
                changed.append(" ".join(other))
                break
    return sentences, changed


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        (TEXT, Kind.EXACT),
        (TEXT.upper(), Kind.NORMALISED),
        (f"  {TEXT} !", Kind.NORMALISED),
        ("".join(chr(ord(c) + 0xFEE0) if "!" <= c <= "~" else c for c in TEXT), Kind.NORMALISED),
        (TEXT.replace("Friday", "Sunday"), Kind.NEAR),
        ("Something else altogether", None),
    ],
)
def test_kinds(text, kind):
    (match,) = find_overlap(examples_of(["filler", TEXT]), examples_of([text])).matches
    assert (match and match.kind) == kind
    assert match is None or match.position == 1


def test_digits_do_not_tell_rows_apart():
    train, test = examples_of(["Code 1234 at 10:30"]), examples_of(["code 99 at ８:05"])
    assert find_overlap(train, test).matches == (Match(Kind.NORMALISED, 1.0, 0),)


def test_how_an_accent_is_encoded_does_not_tell_rows_apart():
    train, test = (examples_of([unicodedata.normalize(form, "Café")]) for form in ("NFC", "NFD"))
    assert find_overlap(train, test).matches == (Match(Kind.NORMALISED, 1.0, 0),)


def test_the_strongest_kind_wins_and_then_the_first_row():
    train = examples_of([TEXT.upper(), TEXT.replace("noon", "two"), TEXT, TEXT])
    assert find_overlap(train, examples_of([TEXT])).matches == (Match(Kind.EXACT, 1.0, 2),)
    assert find_overlap(train[:2], examples_of([TEXT])).matches == (Match(Kind.NORMALISED, 1.0, 0),)


def test_the_nearest_row_wins():
    near, nearer = TEXT.replace("Friday", "Sunday"), TEXT.replace("Friday", "Fridays")
    (match,) = find_overlap(examples_of([near, nearer, near]), examples_of([TEXT])).matches
    assert match == Match(Kind.NEAR, similarity(TEXT, nearer), 1)


def test_texts_of_symbols_alone_are_not_all_the_same():
    assert find_duplicates(examples_of(["🎉", "👍", "!!!", "?", " 🎉 "])).of(Kind.NORMALISED)[
        0
    ].positions == (0, 4)
    assert duplicate_groups(examples_of(["🎉", "👍", "!!!", "?"])) == (0, 1, 2, 3)


def test_a_text_shorter_than_an_ngram_is_near_nothing_else():
    assert duplicate_groups(examples_of(["ok", "on", "o", "OK!"])) == (0, 1, 2, 0)


def test_the_same_words_in_other_fields_are_another_text():
    train = [Example("a", {"title": "alpha beta", "body": "gamma"}, {})]
    test = [Example("b", {"title": "alpha", "body": "beta gamma"}, {})]
    assert find_overlap(train, test).matches[0] is None


def test_labels_that_differ_within_a_group():
    examples = [
        *examples_of([TEXT, TEXT.upper(), "unlike any other"], "a"),
        *examples_of([TEXT, TEXT.replace("Friday", "Sunday")], "b"),
    ]
    found = find_duplicates(examples)
    assert [(g.kind, g.positions, g.labels_differ) for g in found.groups] == [
        (Kind.EXACT, (0, 3), True),
        (Kind.NORMALISED, (0, 1, 3), True),
        (Kind.NEAR, (0, 1, 3, 4), True),
    ]
    assert not any(g.labels_differ for g in find_duplicates(examples[:2]).groups)


def test_a_chain_of_near_duplicates_is_one_group():
    chain = [TEXT, TEXT.replace("Friday", "Sunday")]
    chain.append(chain[1].replace("garden", "dental"))
    assert similarity(chain[0], chain[2]) < 0.8 <= similarity(chain[1], chain[2])
    assert duplicate_groups(examples_of([chain[0], "unlike", chain[2]])) == (0, 1, 2)
    assert duplicate_groups(examples_of([chain[0], "unlike", chain[2], chain[1]])) == (0, 1, 0, 0)


def test_nothing_in_nothing_out():
    some = examples_of([TEXT])
    assert duplicate_groups([]) == ()
    assert find_duplicates([]).groups == ()
    assert find_overlap([], some).matches == (None,)
    assert find_overlap(some, []).matches == ()


@pytest.mark.parametrize("threshold", [0.0, 0.49, 1.01, 80, float("nan")])
def test_thresholds_that_are_no_share(threshold):
    with pytest.raises(UserError, match="is not a share from"):
        find_overlap([], [], threshold=threshold)


@pytest.mark.parametrize("threshold", [0.5, 0.8, 1.0])
def test_what_is_near_is_near_and_most_of_it_is_found(threshold):
    sentences, changed = near_duplicates(300, least=max(threshold, 0.9) if threshold < 1 else 0.5)
    overlap = find_overlap(
        examples_of(sentences), examples_of(changed), threshold=threshold, edits=False
    )
    found = [match for match in overlap.matches if match]
    for text, match in zip(changed, overlap.matches, strict=True):
        if match:
            true = similarity(sentences[match.position], text)
            assert match.similarity == true >= threshold
    if threshold < 1:
        assert len(found) == 300
    else:
        assert not found


def test_nearly_all_pairs_just_above_the_threshold_are_found():
    sentences, changed = near_duplicates(400, least=0.8)
    matches = find_overlap(examples_of(sentences), examples_of(changed)).matches
    assert sum(match is not None for match in matches) >= 396
    groups = duplicate_groups(examples_of([*sentences, *changed]))
    assert sum(a == b for a, b in zip(groups[:400], groups[400:], strict=True)) >= 396


def test_the_estimate_is_as_good_as_it_is_said_to_be():
    sentences, changed = near_duplicates(400, least=0.75)
    true = [similarity(*pair) for pair in zip(sentences, changed, strict=True)]
    errors = estimate(sign(sentences), sign(changed)) - true
    assert abs(errors.mean()) < 0.006
    assert (errors**2).mean() ** 0.5 < 0.037
    assert abs(errors).max() < MARGIN
    # Texts of one n-gram each, nearly all different: no column in common but by chance.
    short = sign([chr(0x4E00 + i) for i in range(300)])
    assert estimate(short[1:], short[0]).max() < 0.1


texts = st.lists(
    st.text(st.sampled_from("aAbB1２。! 🎉ß"), max_size=6).map(lambda text: f"{text}{text}"),
    max_size=12,
)


@given(text=st.text(max_size=60))
@example(text="ab" * 50_000)
@example(text="".join(map(chr, range(0x20, 0xD800))))
def test_a_signature_is_the_sketch_that_datasketch_makes(text: str):
    sketch = MinHash(PERMUTATIONS, seed=SEED, hashfunc=zlib.crc32, scheme="affine32")
    sketch.update_batch(grams(text))
    top = (sketch.hashvalues * np.uint32(0x9E3779B1)) >> np.uint32(24)
    assert sign([text]).tolist() == [top.tolist()]


@settings(max_examples=50, deadline=None)
@given(texts, texts)
def test_exact_and_normalised_are_those_of_brute_force(some, others):
    train, test = examples_of(some), examples_of(others)
    for text, match in zip(others, find_overlap(train, test).matches, strict=True):
        same = [i for i, known in enumerate(some) if known == text]
        alike = [i for i, known in enumerate(some) if normalise_text(known) == normalise_text(text)]
        if same:
            assert match == Match(Kind.EXACT, 1.0, same[0])
        elif alike:
            assert match == Match(Kind.NORMALISED, 1.0, alike[0])
        else:
            assert match is None or match.kind is Kind.NEAR


@settings(max_examples=50, deadline=None)
@given(texts, st.randoms())
def test_groups_hold_what_brute_force_connects_in_any_order(some, rng):
    groups = duplicate_groups(examples_of(some))
    assert list(dict.fromkeys(groups)) == list(range(len(set(groups))))
    assert groups == connected(some)
    order = list(range(len(some)))
    rng.shuffle(order)
    moved = duplicate_groups(examples_of([some[i] for i in order]))
    pairs = {(groups[i], moved[place]) for place, i in enumerate(order)}
    assert len(pairs) == len(set(groups)) == len(set(moved))


def connected(some):
    """The groups, by comparing everything with everything."""
    group = list(range(len(some)))
    for i, one in enumerate(some):
        for j, other in enumerate(some[:i]):
            if similarity(one, other) >= 0.8 and group[i] != group[j]:
                low, high = sorted((group[i], group[j]))
                group = [low if number == high else number for number in group]
    numbers = {number: i for i, number in enumerate(dict.fromkeys(group))}
    return tuple(numbers[number] for number in group)


@settings(max_examples=50, deadline=None)
@given(texts, texts, st.randoms())
def test_neither_order_nor_sides_decide(some, others, rng):
    matches = find_overlap(examples_of(some), examples_of(others)).matches
    shuffled = rng.sample(some, len(some))
    again = find_overlap(examples_of(shuffled), examples_of(others)).matches
    assert [m and (m.kind, m.similarity) for m in matches] == [
        m and (m.kind, m.similarity) for m in again
    ]
    for i, one in enumerate(some):
        for other in others[:3]:
            there, back = (
                find_overlap(examples_of([a]), examples_of([b])).matches[0]
                for a, b in ((one, other), (other, one))
            )
            assert there == back
        if i == 2:
            break


@given(st.text(max_size=40))
def test_normalising_twice_is_normalising_once(text):
    once = normalise_text(text)
    assert normalise_text(once) == once
    assert bool(once) == bool(to_skeleton(text).strip())


@given(st.text(st.sampled_from("aZß1２３。!，ｚ \t"), max_size=30))
def test_case_width_digits_and_punctuation_do_not_count(text):
    words = f"x{text}"
    for other in (words.upper(), unicodedata.normalize("NFKC", words), f"  {words}?! "):
        assert normalise_text(other) == normalise_text(words)


def test_a_text_is_its_inputs_in_name_order():
    example = Example("", {"title": "Hi!", "app": "Mail 2", "body": ""}, {})
    assert normalised_inputs(example) == "mail 0\n\nhi"


def test_blocks_do_not_show():
    sentences, changed = near_duplicates(60, least=0.8)
    many, few = sign(sentences * 40), sign(changed)
    pairs = [
        (i % 60, j)
        for rows, others, _ in similar_pairs(many, few, 0.8, 0.5)
        for i, j in zip(rows.tolist(), others.tolist(), strict=True)
    ]
    assert all(pairs.count((i, i)) in (0, 40) for i in range(60))
    assert len(set(pairs)) >= 59
