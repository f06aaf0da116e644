"""What a gate asks about: gates of one question have one remedy, and are named together."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING

from evalkit.evaluation import Metric
from evalkit.gates.policy import claims_better

if TYPE_CHECKING:
    from evalkit.gates.judging import Verdict


class Group(StrEnum):
    """A question that a release has to answer; `group.*` in the language files names it."""

    ACCURACY = "accuracy"
    RECALL = "recall"
    """Values that are given up for the sake of others."""
    URGENT = "urgent"
    """The top of a scale read as its bottom."""
    FORM = "form"
    """Answers that no program can read, and values that do not exist."""
    UNSEEN = "unseen"
    """Values that the system was not trained on, alone or beside those that it was."""
    RENAMED = "renamed"
    """Trained values under other names."""
    FLIPS = "flips"
    """Changes that do not matter."""
    ATTACKS = "attacks"
    """Orders hidden in the text."""
    FORGETTING = "forgetting"
    REPEATABILITY = "repeatability"
    BASELINE = "baseline"
    CONTAMINATION = "contamination"
    TRUNCATION = "truncation"
    """Prompts longer than the model can see."""
    BAD_ROWS = "bad_rows"
    OTHER = "other"
    """A number of a suite's own making."""


_GATES = {
    "field_accuracy": Group.ACCURACY,
    "accuracy_under_changes": Group.FLIPS,
    "answer_instability": Group.REPEATABILITY,
    "attack_success_rate": Group.ATTACKS,
    "attacked_format_violations": Group.ATTACKS,
    "bad_rows": Group.BAD_ROWS,
    "classified_general_prompts": Group.FORGETTING,
    "clear_differences": Group.REPEATABILITY,
    "contamination": Group.CONTAMINATION,
    "divergence_from_base": Group.FORGETTING,
    "flip_rate": Group.FLIPS,
    "folder_name_bias": Group.UNSEEN,
    "forgetting": Group.FORGETTING,
    "forgetting_by_kind": Group.FORGETTING,
    "multi_intent_exact_match": Group.ACCURACY,
    "out_of_enum_rate": Group.FORM,
    "parse_failure_rate": Group.FORM,
    "renamed_folders_loss": Group.RENAMED,
    "renamed_labels_loss": Group.RENAMED,
    "truncated_prompts": Group.TRUNCATION,
    "unseen_folder_accuracy": Group.UNSEEN,
}
"""Of the suites' own gates, those whose metric does not tell it."""
_SLICES = {
    ("out_of_enum_rate", "attacked"): Group.ATTACKS,
    ("out_of_enum_rate", "unseen folders"): Group.UNSEEN,
}
_METRICS = {
    "accuracy": Group.ACCURACY,
    "all_correct": Group.ACCURACY,
    "contamination": Group.CONTAMINATION,
    "format_violation_rate": Group.FORM,
    "jaccard": Group.ACCURACY,
    "macro_f1": Group.ACCURACY,
    "mean_absolute_error": Group.ACCURACY,
    "micro_f1": Group.ACCURACY,
    "missing_field_rate": Group.FORM,
    "out_of_enum_rate": Group.FORM,
    "parse_failure_rate": Group.FORM,
    "partial_match": Group.ACCURACY,
    "precision": Group.RECALL,
    "quadratic_kappa": Group.ACCURACY,
    "recall": Group.RECALL,
    "top_read_as_bottom": Group.URGENT,
    "truncated_prompts": Group.TRUNCATION,
}
"""By what is measured, so that gates of a project's own have a group, too."""


def group_of(gate: str, slice_name: str = "", metric: Metric | None = None) -> Group:
    """The question that a gate belongs to."""
    if found := _SLICES.get((gate, slice_name)) or _GATES.get(gate):
        return found
    if claims_better(gate):
        return Group.BASELINE
    return _METRICS.get(metric.key if metric else "", Group.OTHER)


def by_group(verdicts: Iterable[Verdict]) -> dict[Group, list[Verdict]]:
    """The verdicts of each question, in the order in which `Group` lists them."""
    found: dict[Group, list[Verdict]] = {group: [] for group in Group}
    for verdict in verdicts:
        found[group_of(verdict.gate, verdict.slice, verdict.metric)].append(verdict)
    return {group: members for group, members in found.items() if members}
