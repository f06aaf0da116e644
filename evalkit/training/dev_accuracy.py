"""How often a model that has just been trained is right on the held-out rows."""

from __future__ import annotations

from collections.abc import Sequence

from evalkit.engines.base import Engine
from evalkit.evaluation import build_requests
from evalkit.formats import Format
from evalkit.records import Completion, Example, Prediction
from evalkit.tasks import Task


def dev_accuracy(
    engine: Engine, task: Task, fmt: Format, examples: Sequence[Example]
) -> dict[str, float]:
    """Field name -> share of right values, and `all` -> of rows with no wrong one.

    Of the lenient reading, as suites count; an answer that cannot be read is wrong. Empty
    where there are no rows.
    """
    if not examples:
        return {}
    answers = dict(engine.complete(list(build_requests(task, fmt, examples))))
    right: dict[str, int] = dict.fromkeys([*task.fields, "all"], 0)
    for example in examples:
        answer = answers[example.id]
        assert isinstance(answer, Completion)
        said = fmt.parse(task, answer.text).lenient
        if not isinstance(said, Prediction):
            continue
        hits = [name for name in task.fields if said.fields[name] == example.labels[name]]
        for name in hits:
            right[name] += 1
        right["all"] += len(hits) == len(task.fields)
    return {name: round(count / len(examples), 4) for name, count in right.items()}
