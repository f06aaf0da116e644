"""Has the adapter cost the model what it could do before? Holds for every kind of task.

The probes of `fixtures/forgetting` are put to the model with and without its adapter, as plain
turns of a chat. What counts is the difference, so a weak base is not blamed on the adapter.
docs/forgetting.md tells how answers are checked.
"""

import pytest

from evalkit import metrics
from evalkit.evaluation.forgetting import mean_divergence, passed_less
from evalkit.formats import get_format
from evalkit.probes import (
    Kind,
    build_request,
    check,
    load_probes,
    load_texts,
    looks_like_classification,
)

pytestmark = pytest.mark.needs("adapter")


@pytest.fixture(scope="session")
def folder(pytestconfig):
    """Where probes and texts are."""
    return pytestconfig.rootpath / "fixtures" / "forgetting"


@pytest.fixture(scope="session")
def check_once():
    """`check`, remembering: running an answer's code takes a while."""
    known = {}

    def checked(probe, text):
        if (probe.id, text) not in known:
            known[probe.id, text] = check(probe, text)
        return known[probe.id, text]

    return checked


@pytest.fixture
def judged(answers, folder, check_once):
    """Probes with what was said, and what is to be said of it: tuned, then base.

    Probes that one of the two did not answer, or whose code cannot be confined on this system,
    are left out of both.
    """
    probes = load_probes(folder / "probes.jsonl")
    requests = [build_request(probe) for probe in probes]
    tuned = answers("forgetting-tuned", requests)
    base = answers("forgetting-base", requests, adapter=False)
    pairs = [
        (probe, tuned[probe.id].text, base[probe.id].text)
        for probe in probes
        if probe.id in tuned and probe.id in base
    ]
    rows = [(p, ours, check_once(p, ours), check_once(p, theirs)) for p, ours, theirs in pairs]
    return [row for row in rows if None not in (row[2].passed, row[3].passed)]


def loss(rows, asked):
    """By how much fewer of the probes are passed with the adapter than without it."""
    base, tuned = [row[3].passed for row in rows], [row[2].passed for row in rows]
    return passed_less(base, tuned, asked)


def show(request, rows):
    """Put what was lost, and what could be done before, beside a failure."""
    tuned, base = (sum(row[place].passed for row in rows) for place in (2, 3))
    lines = [f"of {len(rows)} probes: {tuned} passed, {base} by the base"]
    lines += [
        f"{probe.id}: {ours.why}; said {said[:120]!r}"
        for probe, said, ours, theirs in rows
        if theirs.passed and not ours.passed
    ]
    request.node.add_report_section("call", "lost probes", "\n".join(lines))


def test_general_abilities_are_kept(judged, gate, request):
    """Facts, sums, code, haiku, translations and open questions, all together."""
    show(request, judged)
    gate("forgetting", loss(judged, "forgetting"))


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_no_ability_is_lost(judged, gate, request, kind):
    """No kind of probe is given up for the sake of the others."""
    rows = [row for row in judged if row[0].kind == kind]
    show(request, rows)
    gate("forgetting_by_kind", loss(rows, f"forgetting of {kind}"), slice=kind)


def test_general_prompts_are_not_classified(answers, folder, evaluation, gate):
    """A general question is not answered as if it were an input of the task."""
    requests = [build_request(probe) for probe in load_probes(folder / "probes.jsonl")]
    said = answers("forgetting-tuned", requests).values()
    task = evaluation.task
    fmt = get_format(evaluation.record["format"], task)
    hits = [looks_like_classification(answer.text, task, fmt) for answer in said]
    gate("classified_general_prompts", metrics.share(hits, asked="classified general prompts"))


def test_the_base_is_not_far(divergences, folder, gate):
    """On general text the adapter leaves the next-token distribution about as it was."""
    texts = load_texts(folder / "texts.jsonl")
    gate("divergence_from_base", mean_divergence(divergences("forgetting-texts", texts)))
