"""What an adapter cost the model beside its task: probes lost, and distance from the base."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit import metrics
from evalkit.errors import InsufficientData
from evalkit.evaluation.cases import Case
from evalkit.evaluation.evaluation import Evaluation, Measurement
from evalkit.evaluation.metric import Metric
from evalkit.locale import say
from evalkit.probes import Checked, Probe, Stop, check, looks_like_classification
from evalkit.records import Completion, Estimate

SEED = 0
"""Of the bootstrap."""
_FURTHEST = 20
"""Texts that are shown behind the divergence."""


def passed_less(base: Sequence[bool], tuned: Sequence[bool], asked: str) -> Estimate:
    """The share of probes that the base passes less the share passed with the adapter.

    The two are paired probe by probe, and the interval is that of a paired difference (see
    `metrics.compare_hits`). What is negative was gained.

    Raises:
        InsufficientData: there is no probe.
    """
    found = metrics.compare_hits(base, tuned, asked=asked)
    return Estimate(found.difference, found.n, found.low, found.high, "paired, Newcombe")


@dataclass(frozen=True, slots=True)
class ProbeAnswers:
    """What was answered to a probe, with the adapter and without."""

    probe: Probe
    text: str
    """With the adapter."""
    tuned: Checked
    base: Checked
    base_text: str = ""
    """Without the adapter."""

    @property
    def is_told(self) -> bool:
        """Whether both could be checked."""
        return None not in (self.tuned.passed, self.base.passed)


def check_probes(
    probes: Sequence[Probe], tuned: Mapping[str, Completion], base: Mapping[str, Completion]
) -> list[ProbeAnswers]:
    """Check the answers to each probe that was answered with the adapter and without it."""
    return [
        ProbeAnswers(
            probe,
            tuned[probe.id].text,
            check(probe, tuned[probe.id].text),
            check(probe, base[probe.id].text),
            base[probe.id].text,
        )
        for probe in probes
        if probe.id in tuned and probe.id in base
    ]


def probes_lost(answered: Sequence[ProbeAnswers], name: str) -> Measurement:
    """The share of probes that the base passes less the share passed with the adapter.

    Those that could not be checked are left out.

    Raises:
        InsufficientData: there is no probe, or none could be checked.
    """
    told = [found for found in answered if found.is_told]
    if answered and not told:
        checked = (check for found in answered for check in (found.tuned, found.base))
        raise InsufficientData(
            f"{name}: {next(found.why for found in checked if found.passed is None)}"
        )
    tuned, base = ([bool(which.passed) for which in each] for each in _columns(told))
    lost = [found for found in told if found.base.passed and not found.tuned.passed]
    cases = tuple(
        Case(found.probe.id, found.probe.prompt, found.text, "", found.base_text, found.tuned.why)
        for found in lost
    )
    return Measurement(passed_less(base, tuned, name), cases=cases)


def describe_probes(answered: Sequence[ProbeAnswers]) -> str:
    """What the adapter lost, could not be checked or had to be stopped, a line each."""
    told = [found for found in answered if found.is_told]
    passed, by_base = (sum(bool(which.passed) for which in each) for each in _columns(told))
    lines = [f"of {len(told)} probes: {passed} passed, {by_base} by the base"]
    for found in answered:
        ours, theirs = found.tuned, found.base
        contained = ours.stopped not in (None, Stop.ERROR)
        if ours.passed is None or contained or (theirs.passed and not ours.passed):
            lines.append(f"{found.probe.id}: {ours.why}; said {found.text[:120]!r}")
    return "\n".join(lines)


def _columns(answered: Sequence[ProbeAnswers]) -> tuple[list[Checked], list[Checked]]:
    return [found.tuned for found in answered], [found.base for found in answered]


def classified_rate(
    texts: Iterable[str] | Mapping[str, str], evaluation: Evaluation
) -> Measurement:
    """The share of answers to general prompts that answer the system's own task instead.

    Args:
        texts: the answers; by prompt, where a reader is to see what was asked.
        evaluation: of the system, for its task and format.
    """
    task, fmt = evaluation.task, evaluation.format
    said = list(texts.items() if isinstance(texts, Mapping) else (("", text) for text in texts))
    hits = [looks_like_classification(text, task, fmt) for _, text in said]
    told = enumerate(zip(said, hits, strict=True), start=1)
    cases = tuple(Case(f"{n}", prompt, text) for n, ((prompt, text), hit) in told if hit)
    return Measurement(metrics.share(hits, asked="classified general prompts"), cases=cases)


def mean_divergence(texts: Sequence[Mapping[str, Any]]) -> Measurement:
    """Mean KL(base || tuned) of a token, over all tokens of all texts, in nats.

    Its interval is a bootstrap of whole texts.

    Args:
        texts: of each text `kl`, the mean over its tokens, and `tokens`, their number.

    Raises:
        InsufficientData: there is no token.
    """
    import numpy as np

    asked = "KL(base || tuned) per token"
    tokens = np.array([text["tokens"] for text in texts], dtype=np.float64)
    if not tokens.sum():
        raise InsufficientData(f"{asked}: there is no text with a token")
    sums = tokens * np.array([text["kl"] for text in texts], dtype=np.float64)
    estimate = metrics.bootstrap(
        lambda weights: (weights @ sums) / (weights @ tokens), len(texts), seed=SEED, asked=asked
    )
    metric = Metric("divergence", asked, lambda rows: estimate, lower_is_better=True, unit="")
    furthest = sorted(texts, key=lambda text: -text["kl"])[:_FURTHEST]
    cases = tuple(
        Case(text["id"], "", "", context=say("case.divergence", kl=text["kl"])) for text in furthest
    )
    return Measurement(estimate, metric=metric, cases=cases)
