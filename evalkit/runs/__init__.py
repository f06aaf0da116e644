"""Runs, answers and verdicts on disk: written whole or not at all, checked when read back.

A run is a folder `runs/<time>-<system>/` with `record.json` (what identifies it),
`predictions.jsonl` (one line per example) and, once judged, `verdicts.json`. What else the system
was asked lies in `asked/<name>/`, in the same two files. The records carry the hash of the
predictions and of themselves; the verdicts name the predictions, the other records and the
criteria they hold for. `runs/baselines/NAME/` keeps runs that later ones are held against, and
`runs/.answers/` every answer a system ever gave, so that nothing is computed twice.
"""

from evalkit.runs.answers import AnswerStore, request_sha256
from evalkit.runs.disk import (
    ASKED,
    BASELINES,
    RECORD,
    Part,
    baseline_folders,
    copy_run,
    find_run,
    home_of,
    read_for_judging,
    read_part,
    read_record,
    read_run,
    read_subject,
    run_folders,
    write_evaluation_part,
    write_part,
    write_run,
)
from evalkit.runs.under_way import UnderWay, noting, read_under_way
from evalkit.runs.verdicts import VERDICTS, read_verdicts, write_verdicts

__all__ = [
    "ASKED",
    "BASELINES",
    "RECORD",
    "VERDICTS",
    "AnswerStore",
    "Part",
    "UnderWay",
    "baseline_folders",
    "copy_run",
    "find_run",
    "home_of",
    "noting",
    "read_for_judging",
    "read_part",
    "read_record",
    "read_run",
    "read_subject",
    "read_under_way",
    "read_verdicts",
    "request_sha256",
    "run_folders",
    "write_evaluation_part",
    "write_part",
    "write_run",
    "write_verdicts",
]
