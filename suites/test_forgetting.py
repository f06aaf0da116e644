"""Has the adapter cost the model what it could do before? Holds for every kind of task.

The probes of `fixtures/forgetting` are put to the model with and without its adapter, as plain
turns of a chat. What counts is the difference, so a weak base is not blamed on the adapter.
docs/forgetting.md tells how answers are checked.
"""

import pytest

from evalkit import metrics
from evalkit.errors import InsufficientData
from evalkit.evaluation.forgetting import mean_divergence, passed_less
from evalkit.formats import get_format
from evalkit.probes import (
    Kind,
    Stop,
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
    """What was said to each probe that both answered: probe, text, tuned and base as checked."""
    probes = load_probes(folder / "probes.jsonl")
    requests = [build_request(probe) for probe in probes]
    tuned = answers("forgetting-tuned", requests)
    base = answers("forgetting-base", requests, adapter=False)
    return [
        (p, tuned[p.id].text, check_once(p, tuned[p.id].text), check_once(p, base[p.id].text))
        for p in probes
        if p.id in tuned and p.id in base
    ]


def hold(gate, request, rows, name, **slice_name):
    """Hold the loss on some probes against a criterion, with what was lost beside a failure."""
    told = [row for row in rows if None not in (row[2].passed, row[3].passed)]
    if rows and not told:
        why = next(checked.why for row in rows for checked in row[2:] if checked.passed is None)
        raise InsufficientData(f"{name}: {why}")
    tuned, base = [row[2].passed for row in told], [row[3].passed for row in told]
    lines = [f"of {len(told)} probes: {sum(tuned)} passed, {sum(base)} by the base"]
    for probe, said, ours, theirs in rows:
        contained = ours.stopped not in (None, Stop.ERROR)
        if ours.passed is None or contained or (theirs.passed and not ours.passed):
            lines.append(f"{probe.id}: {ours.why}; said {said[:120]!r}")
    request.node.add_report_section("call", "probes", "\n".join(lines))
    gate(name, passed_less(base, tuned, name), **slice_name)


def test_general_abilities_are_kept(judged, gate, request):
    """Facts, sums, code, haiku, translations and open questions, all together."""
    hold(gate, request, judged, "forgetting")


@pytest.mark.parametrize("kind", [kind.value for kind in Kind])
def test_no_ability_is_lost(judged, gate, request, kind):
    """No kind of probe is given up for the sake of the others."""
    rows = [row for row in judged if row[0].kind == kind]
    hold(gate, request, rows, "forgetting_by_kind", slice=kind)


def test_general_prompts_are_not_classified(answers, folder, evaluation, gate):
    """A general question is not answered as if it were an input of the task."""
    requests = [build_request(probe) for probe in load_probes(folder / "probes.jsonl")]
    said = answers("forgetting-tuned", requests).values()
    task = evaluation.task
    fmt = get_format(evaluation.record.format, task)
    hits = [looks_like_classification(answer.text, task, fmt) for answer in said]
    gate("classified_general_prompts", metrics.share(hits, asked="classified general prompts"))


def test_the_base_is_not_far(divergences, folder, gate):
    """On general text the adapter leaves the next-token distribution about as it was."""
    texts = load_texts(folder / "texts.jsonl")
    gate("divergence_from_base", mean_divergence(divergences("forgetting-texts", texts)))
