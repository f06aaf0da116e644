"""Mistakes as those who label read them: a CSV file, Label Studio's tasks, Argilla's records.

The formats are those of Label Studio's "Basic Label Studio JSON" (`data` and `predictions`, with
results of type `choices`) and of `dataset.records.from_json` in Argilla 2. What comes back of them
is read by `data/corrections.py`.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as Xml

from evalkit.data.corrections import CORRECTED, ROW_ID, written_label
from evalkit.data.tables import write_records
from evalkit.data.writing import check_outputs, written_whole
from evalkit.errors import UserError
from evalkit.evaluation import describe_predicted
from evalkit.records import Label, Missing, OutOfEnum
from evalkit.reports.judged import JudgedRun
from evalkit.reports.mistakes import Mistake
from evalkit.tasks import Field, FieldKind, Task

GOLD = "label in the rows"
"""What Label Studio shows as the model behind the label that a row has."""


def gates_of_rows(judged: JudgedRun) -> dict[str, list[str]]:
    """Row id -> the gates, with their slices, that count the row against the system."""
    found: defaultdict[str, list[str]] = defaultdict(list)
    for verdict in judged.release.verdicts if judged.release else ():
        for row in verdict.wrong:
            found[row.example.id].append(verdict.label)
    return found


def mistake_cells(mistakes: Sequence[Mistake], judged: JudgedRun) -> list[dict[str, Any]]:
    """A row of a table for each mistake, with cells to fill in."""
    fields, gates = judged.evaluation.task.fields, gates_of_rows(judged)
    return [
        {
            "id": row.example.id,
            "input": dict(row.example.inputs),
            "right": {n: _shown(spec, row.example.labels[n]) for n, spec in fields.items()},
            "said": {n: describe_predicted(spec, row.predicted(n)) for n, spec in fields.items()},
            "confidence": {name: row.completion.confidences.get(name) for name in fields},
            "gates": gates.get(row.example.id, []),
            CORRECTED.rstrip("."): dict.fromkeys(fields, ""),
            "by": "",
            "run": judged.name,
        }
        for row in (mistake.row for mistake in mistakes)
    ]


def label_studio_tasks(mistakes: Sequence[Mistake], judged: JudgedRun) -> list[dict[str, Any]]:
    """Tasks to import: the texts, and as predictions the row's own label and the system's."""
    task, gates = judged.evaluation.task, gates_of_rows(judged)
    found = []
    for row in (mistake.row for mistake in mistakes):
        predicted = {name: row.predicted(name) for name in task.fields}
        values = {n: label for n, label in predicted.items() if _is_label(label)}
        data = {ROW_ID: row.example.id, **row.example.inputs}
        found.append(
            {
                "data": data | {"gates": gates.get(row.example.id, []), "run": judged.name},
                "predictions": [
                    _prediction(task, GOLD, row.example.labels),
                    _prediction(task, judged.system, values, row.completion.confidences),
                ],
            }
        )
    return found


def _prediction(
    task: Task,
    model: str,
    labels: Mapping[str, Any],
    confidences: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    to_name = next(iter(task.inputs))
    results = [
        {
            "id": f"{field}-{number}",
            "from_name": field,
            "to_name": to_name,
            "type": "choices",
            "value": {"choices": _texts(label)},
        }
        for number, (field, label) in enumerate(labels.items())
    ]
    known = [(confidences or {})[field] for field in labels if field in (confidences or {})]
    return {"model_version": model, "result": results} | ({"score": min(known)} if known else {})


def label_studio_config(task: Task) -> str:
    """The labelling interface for such tasks: the texts, and a choice for each field."""
    view = Xml.Element("View")
    for name, spec in task.inputs.items():
        Xml.SubElement(view, "Header", value=spec.title)
        Xml.SubElement(view, "Text", name=name, value=f"${name}")
    for name, field in task.fields.items():
        several = field.kind is FieldKind.MULTI_LABEL
        Xml.SubElement(view, "Header", value=field.title)
        choices = Xml.SubElement(
            view,
            "Choices",
            name=name,
            toName=next(iter(task.inputs)),
            choice="multiple" if several else "single",
        )
        for value in field.values:
            hint = f"{value.name}: {value.description}" if value.name else value.description
            Xml.SubElement(choices, "Choice", value=str(value.value), hint=hint)
    Xml.indent(view)
    return Xml.tostring(view, encoding="unicode") + "\n"


def argilla_records(mistakes: Sequence[Mistake], judged: JudgedRun) -> list[dict[str, Any]]:
    """Records as `dataset.records.from_json` reads them; what was answered is a suggestion."""
    evaluation, gates = judged.evaluation, gates_of_rows(judged)
    return [
        {
            "id": row.example.id,
            "fields": dict(row.example.inputs),
            "metadata": {
                "right": [
                    f"{name}: {_shown(spec, row.example.labels[name])}"
                    for name, spec in evaluation.task.fields.items()
                ],
                "gates": gates.get(row.example.id, []),
                "run": judged.name,
            },
            "suggestions": dict(_suggestions(mistake, judged)),
            "responses": {},
            "vectors": {},
        }
        for mistake in mistakes
        for row in (mistake.row,)
    ]


def _suggestions(mistake: Mistake, judged: JudgedRun) -> Iterator[tuple[str, dict[str, Any]]]:
    row = mistake.row
    for name, field in judged.evaluation.task.fields.items():
        label = row.predicted(name)
        if not _is_label(label):
            continue
        several = field.kind is FieldKind.MULTI_LABEL
        # For a set Argilla wants a score for each member, and an answer has one for the set.
        score = None if several else row.completion.confidences.get(name)
        value = _texts(label) if several else str(label)
        yield name, {"value": value, "score": score, "agent": judged.system}


def _is_label(predicted: object) -> bool:
    return predicted is not None and not isinstance(predicted, Missing | OutOfEnum)


def _texts(label: Any) -> list[str]:
    return list(label) if isinstance(label, tuple) else [str(label)]


def _shown(field: Field, label: Label) -> str:
    return written_label(label) if isinstance(label, tuple) else field.display(label)


def write_mistakes(
    mistakes: Sequence[Mistake],
    judged: JudgedRun,
    *,
    csv: Path | None,
    label_studio: Path | None,
    argilla: Path | None,
    force: bool,
) -> list[Path]:
    """Write mistakes for those who label, each file whole or not at all.

    Beside Label Studio's tasks stands the labelling interface, as XML.

    Returns:
        What was written.

    Raises:
        UserError: a file is there already, or its name ends otherwise than in what it holds.
    """
    writers: dict[Path, Callable[[Path], object]] = {}
    _check_ending(csv, ".csv")
    _check_ending(label_studio, ".json")
    _check_ending(argilla, ".json")
    if csv:
        cells = mistake_cells(mistakes, judged)
        writers[csv] = lambda path: write_records(path, cells, ending=".csv")
    if label_studio:
        tasks = label_studio_tasks(mistakes, judged)
        config = label_studio_config(judged.evaluation.task)
        writers[label_studio] = lambda path: _write_json(path, tasks)
        writers[label_studio.with_suffix(".xml")] = lambda path: path.write_text(
            config, encoding="utf-8"
        )
    if argilla:
        records = argilla_records(mistakes, judged)
        writers[argilla] = lambda path: _write_json(path, records)
    files = [*writers]
    check_outputs(files, judged.folder / "predictions.jsonl", replace=force)
    with written_whole(files) as making:
        for path, write in zip(making, writers.values(), strict=True):
            write(path)
    return files


def _check_ending(path: Path | None, ending: str) -> None:
    if path is not None and path.suffix.lower() != ending:
        raise UserError(f"{path}: end its name in {ending}, as that is what it will hold.")


def _write_json(path: Path, content: object) -> None:
    # A lone surrogate in a text stays an escape, so that the file is valid UTF-8.
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
