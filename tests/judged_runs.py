"""A judged run on disk, made for one test."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from evalkit.data import Kind, Match
from evalkit.evaluation import Evaluation, compare, evaluate
from evalkit.formats import get_format
from evalkit.gates import Policy, conclude, judge
from evalkit.records import Completion, Example, FinishReason
from evalkit.reports.verdicts import verdicts_to_json
from evalkit.run_record import RunRecord
from evalkit.runs import read_run, write_run, write_verdicts
from evalkit.tasks import load_task

TASK = load_task("notifications-3level")
ROWS = 20


def write_judged_run(
    runs: Path,
    *,
    right: int = 12,
    seen: int = 0,
    source: str = "rows.jsonl",
    note: str = "",
    why: str = "a reason",
    name: str = "mine",
    judged: bool = True,
    partial: bool = False,
    left_out: int = 0,
    **record: Any,
) -> Path:
    """Write a run of 20 rows and its verdicts, and return its folder.

    Args:
        runs: where to.
        right: how many priorities are right.
        seen: how many rows repeat a training row.
        source: where the rows come from.
        note: of the data.
        why: the criteria's reason.
        name: of the system.
        judged: whether there are verdicts.
        partial: whether only some tests were chosen.
        left_out: rows that were not answered.
        record: further keys of the record.
    """
    plain = {
        "base": "hf:Tiny/Model",
        "format": "json",
        "task_sha256": TASK.fingerprint,
        "quantization": "none",
        "weights_sha256": None,
        "trained_sha256": {},
        "prompt_sha256": "p" * 64,
        "engine": {"engine": "transformers", "device": "cpu", "decoding": "free"},
        "data": {
            "source": source,
            "sha256": "d" * 64,
            "rows": ROWS,
            "label_mappings": {},
            "notes": [note] if note else [],
            "left_out": left_out,
            "skipped": [],
        },
        "contamination": {
            "status": "checked",
            "trained_rows": 9,
            "seen": {"exact": seen} if seen else {},
        },
        "abilities": [],
        "started": "2026-01-02T03:04:05+00:00",
        "notes": [],
        "cost": {},
        "seconds": {"load": 1.0, "answer": 2.0},
        "commit": None,
        "dirty": None,
        "packages": {},
        "part": None,
    }
    mine = _evaluation(name, right, seen, plain | record)
    folder = write_run(mine, runs)
    if not judged:
        return folder
    mine = read_run(folder)
    policies = {
        "accuracy": Policy(min_value=0.8, min_cases=5, why=why),
        "recall": Policy(min_value=0.4, min_cases=5, why=why),
        "beats": Policy(min_difference=0.0, min_cases=5, why=why),
        "faults": Policy(max_value=0.0, min_cases=5, why=why),
    }
    other = _evaluation("other", 4, seen, plain)
    verdicts = [
        judge("accuracy", policies["accuracy"], mine.accuracy("priority")),
        judge("recall", policies["recall"], mine.recall("priority", 2), slice_name="2"),
        judge("beats", policies["beats"], compare(mine, other, mine.headline_metrics()[2])),
        judge("faults", policies["faults"], mine.parse_failure_rate()),
    ]
    release = conclude(name, TASK.family, verdicts, policies, partial=partial)
    write_verdicts(folder, verdicts_to_json(release, mine, "c" * 64))
    return folder


def _evaluation(name: str, right: int, seen: int, record: dict[str, Any]) -> Evaluation:
    examples = [
        Example(str(i), dict.fromkeys(TASK.inputs, f"text {i}"), {"folder": "Work", "priority": 2})
        for i in range(ROWS)
    ]
    said = [json.dumps({"folder": "Work", "priority": 2 if i < right else 1}) for i in range(ROWS)]
    completions = {str(i): Completion(text, FinishReason.STOP) for i, text in enumerate(said)}
    matches = [Match(Kind.EXACT, 1.0) if i < seen else None for i in range(ROWS)]
    fmt = get_format("json", TASK)
    return evaluate(
        name,
        TASK,
        fmt,
        examples,
        completions,
        record=RunRecord.model_validate(record),
        seen=matches,
    )
