from __future__ import annotations

import pytest
from tokenizers import Tokenizer, normalizers
from transformers import PreTrainedTokenizerFast

from evalkit.engines.chat import build_chat
from evalkit.engines.spelling import check_spelling
from evalkit.errors import UserError
from evalkit.formats import FORMATS, get_format
from evalkit.tasks import Task, load_task, task_names
from tiny_models import CHATML, FAMILIES, tokenizer

DECOMPOSED, COMPOSED = "Re\u0301clamation", "R\u00e9clamation"


def task_of(*values: str, kind: str = "choice") -> Task:
    field = {
        "kind": kind,
        "title": "Queues",
        "paths": ["queue"],
        "values": [{"value": value, "description": "d"} for value in values],
    }
    return Task.model_validate(
        {
            "name": "tickets",
            "family": "t",
            "summary": "s",
            "instruction": "Sort.",
            "inputs": {"text": {"title": "Text", "paths": ["text"]}},
            "fields": {"queue": field},
        }
    )


def check(task: Task, normalizer: normalizers.Normalizer | None, format_name: str = "json") -> None:
    core = Tokenizer.from_str(tokenizer().backend_tokenizer.to_str())
    if normalizer:
        core.normalizer = normalizer
    made = PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|im_end|>", chat_template=CHATML
    )
    check_spelling("mine", build_chat(made), task, get_format(format_name, task))


def test_a_label_that_the_tokenizer_composes():
    """Qwen's normalise to NFC."""
    for kind in ("choice", "multi-label"):
        check(task_of("Facture", COMPOSED, kind=kind), normalizers.NFC())
        check(task_of("Facture", DECOMPOSED, kind=kind), None)
        with pytest.raises(UserError) as refused:
            check(task_of("Facture", DECOMPOSED, kind=kind), normalizers.NFC())
        said = str(refused.value)
        assert "a value of queue of task 'tickets'" in said
        assert "write the value composed (NFC), as 'R\\xe9clamation'" in said


def test_a_label_that_the_tokenizer_writes_otherwise():
    with pytest.raises(UserError, match=r"'mine' cannot write 'Work'.*Give the value another name"):
        check(task_of("home", "Work"), normalizers.Lowercase())


@pytest.mark.parametrize("family", [name for name, made in FAMILIES.items() if made.template])
def test_the_built_in_tasks_can_be_written(family: str):
    chat = build_chat(tokenizer(family))
    for task in map(load_task, task_names()):
        for name in FORMATS:
            try:
                fmt = get_format(name, task)
            except UserError:
                continue
            check_spelling("s", chat, task, fmt)
