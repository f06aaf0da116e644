"""What a model card tells the Hugging Face Hub, in huggingface_hub's own classes.

`model-index`: https://github.com/huggingface/hub-docs/blob/main/modelcard.md.
`.eval_results/`: https://huggingface.co/docs/hub/eval-results.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

from evalkit.errors import UserError
from evalkit.gates import Verdict
from evalkit.printable import printable
from evalkit.reports.card.subject import Measured, Subject, shown_source
from evalkit.reports.judged import JudgedRun

if TYPE_CHECKING:
    from huggingface_hub import EvalResult, EvalResultEntry, ModelCardData

TASK_TYPE = "text-classification"
GATES = "gates"
"""The configuration under which gates stand, as their rows may be a suite's own."""
_HUB_ROWS = re.compile(r"hf:(?P<name>[\w.-]+(?:/[\w.-]+)?)(?:@[^:\s]+)?(?::(?P<split>.+))?")


def describe_subject(
    subject: Subject,
    provenance: Mapping[str, Any] | None,
    *,
    judged: JudgedRun | None = None,
    measured: Measured | None = None,
    kept: Mapping[str, Any] | None = None,
) -> ModelCardData:
    """The front matter of a card.

    `measured` are the usual numbers of the judged run, as `verdicts.json` has them; `kept` is what
    is there for other reasons: a licence, a language.
    """
    from huggingface_hub import ModelCardData

    kept = dict(kept or {})
    # Figures are said anew, or not at all.
    for key in ("model-index", "model_name", "eval_results", "metrics", "ignore_metadata_errors"):
        kept.pop(key, None)
    is_adapter = subject.base is not None
    tags = [*_listed(kept.pop("tags", None)), "evalkit", TASK_TYPE]
    tags += ["lora", "peft"] if is_adapter else []
    ours: dict[str, Any] = {
        "library_name": "peft" if is_adapter else None,
        # An adapter on a causal model writes its answer.
        "pipeline_tag": "text-generation" if is_adapter else TASK_TYPE,
        "base_model": subject.base_on_hub[0] if subject.base_on_hub else None,
        "tags": list(dict.fromkeys(tags)),
    }
    trained_on = _HUB_ROWS.fullmatch(str((provenance or {}).get("data", "")))
    if trained_on:
        ours["datasets"] = [trained_on["name"]]
    results = eval_results(judged, measured or {}) if judged is not None else []
    if results:
        ours["metrics"] = sorted({"accuracy", "f1"} & {result.metric_type for result in results})
        ours["model_name"] = printable(subject.name)
        ours["eval_results"] = results
    found = {**kept, **{key: said for key, said in ours.items() if said is not None}}
    order = ("license", "language", "library_name", "pipeline_tag", "base_model", "datasets")
    card = ModelCardData(**found)
    # The order is the one in which keys are written.
    ordered = {key: card.__dict__[key] for key in order if card.__dict__.get(key)}
    card.__dict__ = ordered | {k: v for k, v in card.__dict__.items() if k not in ordered}
    return card


def eval_results(judged: JudgedRun, measured: Measured) -> list[EvalResult]:
    """Accuracies and F1 on the test rows, and every number that a gate judged."""
    from huggingface_hub import EvalResult

    assert judged.release is not None
    data = judged.evaluation.record.data
    source = shown_source(data.source)
    hub = _HUB_ROWS.fullmatch(source)
    plain = EvalResult(
        task_type=TASK_TYPE,
        task_name=printable(judged.evaluation.task.name),
        dataset_type=hub["name"] if hub else printable(judged.evaluation.task.family),
        dataset_name=printable(source),
        dataset_split=printable((hub and hub["split"]) or "test"),
        dataset_revision=data.sha256,
        dataset_args={"rows": data.rows, "revision_is": "SHA-256 of the rows"},
        metric_type="",
        metric_value=None,
    )
    found = [
        replace(
            plain,
            metric_type=kind,
            metric_name=printable(name),
            metric_value=number["value"],
            metric_args=_arguments(number, number["on_all_rows"]),
        )
        for name, number in measured.items()
        if (kind := _kind(name)) in ("accuracy", "f1")
    ]
    for verdict in judged.release.verdicts:
        estimate, everywhere = verdict.estimate, verdict.on_all_rows
        found.append(
            replace(
                plain,
                dataset_config=GATES,
                dataset_args={"rows": "the test rows, or what a gate's suite makes of them"},
                metric_type=_kind(verdict.gate),
                metric_name=printable(verdict.shown),
                metric_value=estimate.value,
                metric_args={
                    **_arguments(asdict(estimate), asdict(everywhere) if everywhere else None),
                    **_bound(verdict),
                },
            )
        )
    return found


def benchmark_entry(
    judged: JudgedRun, measured: Measured, task_id: str, repo: str = ""
) -> EvalResultEntry:
    """The entry of a run in `.eval_results/`, which names a benchmark of the Hub.

    The first of the `measured` numbers is the entry's value; `task_id` is the benchmark's task, as
    its `eval.yaml` calls it, and `repo` where the card lies on the Hub, if it does.

    Raises:
        UserError: the run's rows are of no data set on the Hub.
    """
    from huggingface_hub import EvalResultEntry

    data = judged.evaluation.record.data
    hub = _HUB_ROWS.fullmatch(data.source)
    if hub is None:
        raise UserError(
            f"--benchmark {task_id}: an entry of .eval_results/ names a benchmark on the Hub, and "
            f"{judged.name} is of {printable(shown_source(data.source))}. Judge rows of the "
            f"benchmark: pytest suites/ --model {judged.system} --data hf:OWNER/NAME"
        )
    name, number = next(iter(measured.items()))
    notes = (
        f"{name}, 95% {number['low']:.4f} to {number['high']:.4f}, n={number['n']}, "
        f"SHA-256 of the rows {data.sha256}"
    )
    if number["on_all_rows"]:
        notes += f"; without rows trained on; {number['on_all_rows']['value']:.4f} with them"
    return EvalResultEntry(
        dataset_id=hub["name"],
        task_id=task_id,
        value=number["value"],
        date=judged.started.strftime("%Y-%m-%dT%H:%M:%SZ"),
        source_url=f"https://huggingface.co/{repo}" if repo else None,
        source_name="Model card" if repo else None,
        notes=printable(notes, 1000),
    )


def _kind(name: str) -> str:
    """The Hub's word for a metric, or its own name where it has none."""
    plain = name.replace("-", "_").replace(" ", "_").lower()
    if plain == "all_fields_right" or plain.endswith("_accuracy"):
        return "accuracy"
    for kind in ("f1", "exact_match", "recall", "precision"):
        if plain.endswith(f"_{kind}"):
            return kind
    return printable(name)


def _arguments(number: Mapping[str, Any], everywhere: Mapping[str, Any] | None) -> dict[str, Any]:
    found: dict[str, Any] = {"interval_95": [number["low"], number["high"]]}
    found |= {key: number[key] for key in ("n", "successes", "method") if number[key] is not None}
    if everywhere:
        found["rows"] = "those it was not trained on"
        found["on_all_rows"] = {
            "value": everywhere["value"],
            "interval_95": [everywhere["low"], everywhere["high"]],
            "n": everywhere["n"],
        }
    return found


def _bound(verdict: Verdict) -> dict[str, Any]:
    policy = verdict.policy
    bounds = ("min_value", "max_value", "min_difference")
    found: dict[str, Any] = {
        "verdict": verdict.outcome.value,
        **{name: bound for name in bounds if (bound := getattr(policy, name)) is not None},
    }
    if verdict.paired is not None:
        found["against"] = printable(verdict.paired.second)
        found["p_value"] = verdict.paired.comparison.p_value
    return found


def _listed(tags: object) -> list[str]:
    return [tags] if isinstance(tags, str) else [str(tag) for tag in tags or ()]  # type: ignore[attr-defined]
