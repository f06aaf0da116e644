"""evalkit: a release gate for small fine-tuned language models that classify text.

What is public is loaded when it is first used (PEP 562), so that `import evalkit` costs nothing.
docs/python.md describes it.
"""

from __future__ import annotations

TYPE_CHECKING = False  # as in `typing`, whose import takes longer than all of this
if TYPE_CHECKING:
    from evalkit.classifier import Classification as Classification
    from evalkit.classifier import Classifier as Classifier
    from evalkit.classifier import load as load
    from evalkit.data import load_dataset as load_dataset
    from evalkit.data.attacks import ATTACKS as ATTACKS
    from evalkit.data.attacks import attack_some as attack_some
    from evalkit.data.perturbing import PERTURBATIONS as PERTURBATIONS
    from evalkit.data.perturbing import Perturbation as Perturbation
    from evalkit.data.perturbing import draw_examples as draw_examples
    from evalkit.data.perturbing import perturb_some as perturb_some
    from evalkit.data.perturbing import reorder_values as reorder_values
    from evalkit.engines.building import EngineKind as EngineKind
    from evalkit.errors import DoesNotApply as DoesNotApply
    from evalkit.errors import InsufficientData as InsufficientData
    from evalkit.errors import UserError as UserError
    from evalkit.evaluation import EvaluatedRow as EvaluatedRow
    from evalkit.evaluation import Evaluation as Evaluation
    from evalkit.evaluation import Measurement as Measurement
    from evalkit.evaluation import Metric as Metric
    from evalkit.evaluation.forgetting import check_probes as check_probes
    from evalkit.evaluation.forgetting import classified_rate as classified_rate
    from evalkit.evaluation.forgetting import describe_probes as describe_probes
    from evalkit.evaluation.forgetting import mean_divergence as mean_divergence
    from evalkit.evaluation.forgetting import probes_lost as probes_lost
    from evalkit.evaluation.losses import accuracy_lost as accuracy_lost
    from evalkit.evaluation.metric import metric as metric
    from evalkit.evaluation.stability import accuracy_change as accuracy_change
    from evalkit.evaluation.stability import answer_instability as answer_instability
    from evalkit.evaluation.stability import attack_success_rate as attack_success_rate
    from evalkit.evaluation.stability import clear_difference_rate as clear_difference_rate
    from evalkit.evaluation.stability import flip_rate as flip_rate
    from evalkit.formats import Format as Format
    from evalkit.formats.base import build_prompt as build_prompt
    from evalkit.formats.reading import ReadError as ReadError
    from evalkit.formats.reading import read_both as read_both
    from evalkit.formats.values import read_fields as read_fields
    from evalkit.gates import Outcome as Outcome
    from evalkit.gates import Verdict as Verdict
    from evalkit.gates import gate as gate
    from evalkit.probes import ProbeKind as ProbeKind
    from evalkit.probes import load_probes as load_probes
    from evalkit.probes import load_texts as load_texts
    from evalkit.probes import probe_request as probe_request
    from evalkit.records import Completion as Completion
    from evalkit.records import Estimate as Estimate
    from evalkit.records import Example as Example
    from evalkit.records import FailureReason as FailureReason
    from evalkit.records import FinishReason as FinishReason
    from evalkit.records import Prediction as Prediction
    from evalkit.reports.view import Paragraph as Paragraph
    from evalkit.reports.view import table as table
    from evalkit.scoring import evaluate as evaluate
    from evalkit.scoring import read_run as read_run
    from evalkit.tasks import Task as Task
    from evalkit.tasks.variants import relabelled as relabelled
    from evalkit.tasks.variants import renamed as renamed
    from evalkit.tasks.variants import with_values as with_values

__version__ = "0.1.0"

_PUBLIC = {
    "evalkit.classifier": "Classification Classifier load",
    "evalkit.data": "load_dataset",
    "evalkit.data.attacks": "ATTACKS attack_some",
    "evalkit.data.perturbing": (
        "PERTURBATIONS Perturbation draw_examples perturb_some reorder_values"
    ),
    "evalkit.engines.building": "EngineKind",
    "evalkit.errors": "DoesNotApply InsufficientData UserError",
    "evalkit.evaluation": "EvaluatedRow Evaluation Measurement Metric",
    "evalkit.evaluation.forgetting": (
        "check_probes classified_rate describe_probes mean_divergence probes_lost"
    ),
    "evalkit.evaluation.losses": "accuracy_lost",
    "evalkit.evaluation.metric": "metric",
    "evalkit.evaluation.stability": (
        "accuracy_change answer_instability attack_success_rate clear_difference_rate flip_rate"
    ),
    "evalkit.formats": "Format",
    "evalkit.formats.base": "build_prompt",
    "evalkit.formats.reading": "ReadError read_both",
    "evalkit.formats.values": "read_fields",
    "evalkit.gates": "Outcome Verdict gate",
    "evalkit.probes": "ProbeKind load_probes load_texts probe_request",
    "evalkit.records": "Completion Estimate Example FailureReason FinishReason Prediction",
    "evalkit.reports.view": "Paragraph table",
    "evalkit.scoring": "evaluate read_run",
    "evalkit.tasks": "Task",
    "evalkit.tasks.variants": "relabelled renamed with_values",
}
"""Module -> what of it is public."""
_PLACES = {name: module for module, names in _PUBLIC.items() for name in names.split()}
__all__ = tuple(_PLACES)


def __getattr__(name: str) -> object:
    if name not in _PLACES:
        raise AttributeError(f"module 'evalkit' has no attribute '{name}'")
    from importlib import import_module

    return getattr(import_module(_PLACES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_PLACES})
