"""Duplicates, conflicts and poor rows removed."""

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from evalkit.data import deduplicate, find_duplicates, load_dataset, normalise_text
from evalkit.data.cleaning import clean
from evalkit.data.quality import Rule
from evalkit.data.row_files import open_task_rows
from evalkit.errors import UserError
from evalkit.records import Example


def example(number, text, label="a"):
    return Example(f"e{number}", {"text": text}, {"field": label})


def test_the_first_of_each_group_is_kept_in_order():
    examples = [example(1, "x"), example(2, "y"), example(3, "x"), example(4, "x")]
    result = deduplicate(examples)
    assert [e.id for e in result.kept] == ["e1", "e2"]
    assert (result.dropped, result.conflicts) == (2, ())


def test_only_the_very_same_characters_are_duplicates():
    assert deduplicate([example(1, "x"), example(2, "X"), example(3, "x ")]).dropped == 0


def test_groups_that_disagree_are_reported_whole():
    group = (example(1, "x", "a"), example(2, "x", "b"), example(3, "x", "a"))
    result = deduplicate([*group, example(4, "y"), example(5, "y")])
    assert result.conflicts == (group,)
    assert result.dropped == 3


def test_no_examples():
    assert deduplicate([]).kept == ()


def test_the_published_intents_hold_one_conflict(shared, intents):
    result = deduplicate(load_dataset(shared("tokenflow/intents.jsonl"), intents).examples)
    assert (len(result.kept), result.dropped, len(result.conflicts)) == (1080, 336, 1)


def intent(prompt, *labels, **more):
    return {"prompt": prompt, "output": list(labels or ["payment"]), **more}


def cleaned(path, **options):
    return clean(open_task_rows(path, "clean", "intents"), **options)


def removed(result):
    """Which rule took which line."""
    return {int(r.where.rpartition(":")[2]): r.rule for r in result.removals}


def test_every_removal_has_its_rule(write):
    path = write(
        intent("pay my bill"),
        "{broken",
        intent("pay my bill"),
        intent("refund the shoes", "order_management"),
        intent("refund the shoes"),
        intent("?!"),
        intent("my invoice is f\u00c3\u00bcr you"),
        intent("", "payment"),
        {"prompt": "no label here"},
        intent("PAY my bill!"),
        intent("top up", id="a"),
        intent("change my password", "user_auth", id="a"),
    )
    result = cleaned(path)
    assert result.read == 12
    assert removed(result) == {
        2: Rule.UNREADABLE,
        3: Rule.EXACT,
        4: Rule.CONFLICT,
        5: Rule.EXACT,
        6: Rule.NO_WORDS,
        7: Rule.GARBLED,
        8: Rule.EMPTY,
        9: Rule.NO_LABEL,
        10: Rule.NEAR,
        12: Rule.REPEATED_ID,
    }
    assert result.kept == {0, 10}
    assert [e.inputs["prompt"] for e in result.after] == ["pay my bill", "top up"]
    assert sum(result.counts().values()) == 10


def test_the_label_most_rows_have_settles_a_conflict(write):
    path = write(
        intent("where is it", "payment"),
        intent("where is it", "order_management"),
        intent("where is it", "order_management"),
    )
    result = cleaned(path)
    assert removed(result) == {1: Rule.EXACT, 3: Rule.EXACT}
    ((conflict,), (kept,)) = result.conflicts, result.after
    assert conflict.is_settled
    assert kept.labels["intents"] == ("order_management",)


def test_rules_can_be_left_out(write):
    path = write(
        intent("pay"), intent("pay"), intent("Pay!"), intent("x"), intent("x", "none"), intent("11")
    )
    everything = ["exact-duplicate", "near-duplicate", "too-short", "label-conflict", "no-words"]
    assert cleaned(path, keep=everything).kept == {0, 1, 2, 3, 4, 5}
    assert removed(cleaned(path, keep=["exact-duplicate", "near-duplicate", "too-short"])) == {
        4: Rule.CONFLICT,
        5: Rule.CONFLICT,
        6: Rule.NO_WORDS,
    }
    for name, message in (("exact", "exact-duplicate"), ("unreadable", "can be left out")):
        with pytest.raises(UserError, match=message):
            cleaned(path, keep=[name])


def test_minimal_pairs_are_no_near_duplicates(write):
    text = "the build of the main branch on the server in the office has {}"
    path = write(intent(text.format("failed")), intent(text.format("passed"), "none"))
    result = cleaned(path)
    assert (len(result.kept), result.alike_kept) == (2, 1)


def test_a_row_is_removed_for_a_kept_one_not_for_a_chain(write):
    # Each is near its neighbours; the first and the third are not near each other.
    words = "one two three four five six seven eight nine ten eleven twelve".split()  # noqa: SIM905
    texts = [" ".join(words[start : start + 10]) for start in (0, 1, 2)]
    ends = [normalise_text(text) for text in texts]
    assert find_duplicates([example(1, ends[0]), example(2, ends[2])]).groups == ()
    result = cleaned(write(*map(intent, texts)))
    assert removed(result) == {2: Rule.NEAR}


prompts = st.sampled_from(
    [
        "pay my bill",
        "Pay my bill.",
        "pay bill 12",
        "sign in",
        "a",
        "7",
        "f\u00c3\u00bcr",
        " ",
        "订单",
    ]
)
rows = st.lists(
    st.one_of(
        st.just("{"),
        st.builds(
            lambda p, o: json.dumps(intent(p, o)),
            prompts,
            st.sampled_from(["payment", "none", "x"]),
        ),
        st.builds(lambda p, i: json.dumps(intent(p, id=i)), prompts, st.sampled_from(["1", "2"])),
    ),
    min_size=1,
    max_size=12,
)


@given(rows)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
def test_what_is_kept_can_be_read_and_is_clean(tmp_path, intents, lines):
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    result = cleaned(str(path))
    assert len(result.kept) + len(result.removals) == result.read == len(lines)
    left = [line for place, line in enumerate(lines) if place in result.kept]
    if left:
        path.write_text("\n".join(left) + "\n", encoding="utf-8")
        assert load_dataset(str(path), intents).examples
        assert cleaned(str(path)).removals == ()


def test_the_published_intents_lose_what_a_line_of_python_counts(shared):
    path = shared("tokenflow/intents.jsonl")
    with open(path, encoding="utf-8") as file:  # noqa: PTH123
        prompts = [json.loads(line)["prompt"] for line in file]
    result = clean(open_task_rows(path, "clean"))
    assert result.counts()[Rule.EXACT] == len(prompts) - len(set(prompts))
