"""What could the base model do that the adapter cannot? For every kind of task.

The probes of `fixtures/forgetting` are asked with and without the adapter, as plain chat turns.
What counts is the difference, so that the adapter is not blamed for a weak base.
docs/forgetting.md describes the checks.
"""

import pytest

from evalkit import (
    ProbeKind,
    check_probes,
    classified_rate,
    describe_probes,
    load_probes,
    load_texts,
    mean_divergence,
    probe_request,
    probes_lost,
)

pytestmark = pytest.mark.needs("adapter")


@pytest.fixture(scope="session")
def folder(pytestconfig):
    """Where probes and texts are."""
    return pytestconfig.rootpath / "fixtures" / "forgetting"


@pytest.fixture(scope="session")
def probes(folder, split):
    """What is asked: on the dev split, other probes of the same kinds."""
    return load_probes(folder / ("dev.jsonl" if split == "dev" else "probes.jsonl"))


@pytest.fixture(scope="session")
def texts(folder, split, probes):
    """General texts by id; on the dev split, what the probes ask."""
    if split == "dev":
        return {probe.id: probe.prompt for probe in probes}
    return load_texts(folder / "texts.jsonl")


@pytest.fixture(scope="session")
def tuned(answers, probes):
    """What the model answers with its adapter, by the probes' ids."""
    return answers("forgetting-tuned", [probe_request(probe) for probe in probes])


@pytest.fixture(scope="session")
def checked(answers, probes, tuned):
    """The answers to each probe with and without the adapter, and whether they are right."""
    requests = [probe_request(probe) for probe in probes]
    return check_probes(probes, tuned, answers("forgetting-base", requests, adapter=False))


def test_general_abilities_are_kept(checked, gate, request):
    """Facts, sums, code, haiku, translations and open questions, all together."""
    request.node.add_report_section("call", "probes", describe_probes(checked))
    gate("forgetting", probes_lost(checked, "forgetting"))


@pytest.mark.parametrize("kind", [kind.value for kind in ProbeKind])
def test_no_ability_is_lost(checked, gate, request, kind):
    """No kind of probe is sacrificed for the others."""
    of_kind = [answered for answered in checked if answered.probe.kind == kind]
    request.node.add_report_section("call", "probes", describe_probes(of_kind))
    gate("forgetting_by_kind", probes_lost(of_kind, "forgetting_by_kind"), slice=kind)


def test_general_prompts_are_not_classified(probes, tuned, evaluation, gate):
    """A general question is not answered with a classification."""
    texts = {probe.prompt: tuned[probe.id].text for probe in probes}
    gate("classified_general_prompts", classified_rate(texts, evaluation))


def test_the_base_is_not_far(divergences, texts, gate):
    """On general text the adapter hardly changes the next-token distribution."""
    gate("divergence_from_base", mean_divergence(divergences("forgetting-texts", texts)))
