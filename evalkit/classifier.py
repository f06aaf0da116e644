"""A system in use: texts in, values out, asked and read as the gate does it.

Prompt, normalisation, decoding and parsing are those of the judged run because they are the same
functions: `build_requests`, the system's format, and the engine that `Engines.build` makes.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.engines.building import EngineOptions
from evalkit.engines.pool import Engines
from evalkit.errors import UserError, did_you_mean
from evalkit.evaluation import build_requests
from evalkit.evaluation.rows import problem_of, values_of
from evalkit.formats.base import Format
from evalkit.records import (
    Completion,
    Example,
    Label,
    Prompt,
    Unanswered,
)
from evalkit.runs.cache import CHUNK
from evalkit.systems import System, check_complete, load_system
from evalkit.tasks import Task

if TYPE_CHECKING:
    from evalkit.engines.base import Engine
    from evalkit.engines.loading import Device, Precision

Inputs = Mapping[str, str]
"""Input name -> text, as the task names its inputs."""


@dataclass(frozen=True, slots=True)
class Classification:
    """What a system says of one input."""

    values: Mapping[str, Label | None]
    """Field name -> its value; None where the answer gives none that the task has."""
    confidences: Mapping[str, float] = field(default_factory=dict)
    """Field name -> the probability of its value, 0 to 1; empty where the engine gives none."""
    margin: float | None = None
    """The least distance of a chosen token's logit from the next one's; None where the engine has
    no logits."""
    problem: str = ""
    """Why a value is None; empty where none is."""
    text: str = ""
    """The answer as it was written."""

    def to_json(self) -> dict[str, Any]:
        """The same as data; a set is a list."""
        return {
            "values": {
                name: list(value) if isinstance(value, tuple) else value
                for name, value in self.values.items()
            },
            "confidences": dict(self.confidences),
            "margin": self.margin,
            "problem": self.problem,
            "text": self.text,
        }


class Classifier:
    """A system that is ready to answer. Its engine is built with the first question."""

    def __init__(self, system: System, options: EngineOptions) -> None:
        """Take a system; `load` finds one by its name."""
        self.system = system
        self.options = options
        self._engine: Engine | None = None

    @property
    def task(self) -> Task:
        """What is asked."""
        return self.system.task

    def predict(self, inputs: Iterable[str | Inputs]) -> list[Classification]:
        """Classify inputs.

        Args:
            inputs: for each a text, where the task has one input, or its texts by the names of
                the task's inputs.

        Returns one classification for each, in order.

        Raises:
            UserError: an input is lacking or not one of the task's, or the system is not complete.
        """
        asked = [read_inputs(self.task, given) for given in inputs]
        return [self.classify(said) for said in self.complete(asked)]

    def classify(self, answer: Completion | Unanswered) -> Classification:
        """Read an answer leniently, as accuracy is counted."""
        return _classification(self.task, self.system.format, answer)

    def complete(self, asked: Sequence[Inputs]) -> Iterator[Completion | Unanswered]:
        """Answer inputs as `read_inputs` gives them, in order."""
        task, fmt = self.task, self.system.format
        examples = (Example(str(n), inputs, {}) for n, inputs in enumerate(asked))
        while chunk := list(islice(examples, CHUNK)):
            requests = list(build_requests(task, fmt, chunk))
            said = dict(self._loaded().complete(requests))
            yield from (said[request.id] for request in requests)

    def _loaded(self) -> Engine:
        if self._engine is None:
            if "live" not in self.system.capabilities:
                raise UserError(
                    f"{self.system.name} only repeats recorded answers. Ask another system."
                )
            self._engine = Engines().build(self.system, self.options)
        return self._engine


def load(
    name: str | Path | None = None,
    *,
    device: Device = "auto",
    precision: Precision = "auto",
    batch_size: int = 16,
) -> Classifier:
    """Load a system, to ask it as the gate did.

    Args:
        name: a system on the shelf, or the path of its folder; the project's only one by default.
        device: `auto`, `cpu`, `cuda` or `mps`; as `--device` of the gate.
        precision: `auto`, `fp32` or `bf16`; as `--precision` of the gate.
        batch_size: most rows of a batch.

    Raises:
        UserError: there is no such system, or its weights or adapter are not here.
    """
    system = load_system(name)
    check_complete(system)
    return Classifier(
        system, EngineOptions(device=device, precision=precision, batch_size=batch_size)
    )


def read_inputs(task: Task, given: str | Inputs) -> dict[str, str]:
    """Sort what was given by the task's inputs.

    Raises:
        UserError: a text alone where the task has several inputs, an input that it does not have,
            or one that is lacking.
    """
    needed = [name for name, spec in task.inputs.items() if not spec.optional]
    if isinstance(given, str):
        if len(needed) > 1:
            raise UserError(
                f"Task '{task.name}' has the inputs {', '.join(task.inputs)}, and a text alone "
                "could be any. Name each: --input NAME=TEXT, or a dictionary in Python."
            )
        given = {(needed or list(task.inputs))[0]: given}
    for name in given:
        if name not in task.inputs:
            raise UserError(
                f"Task '{task.name}' has no input '{name}'.{did_you_mean(name, task.inputs)} "
                f"Inputs: {', '.join(task.inputs)}."
            )
    if lacking := [name for name in needed if name not in given]:
        raise UserError(f"Task '{task.name}' also needs the input {' and '.join(lacking)}.")
    return {name: given.get(name, "") for name in task.inputs}


def _classification(task: Task, fmt: Format, answer: Completion | Unanswered) -> Classification:
    """Read an answer leniently, as accuracy is counted."""
    if isinstance(answer, Unanswered):
        return Classification(dict.fromkeys(task.fields), problem=f"no answer: {answer.why}")
    confidences, margin = dict(answer.confidences), answer.margin
    read = fmt.parse(task, answer.text).lenient
    values = values_of(read, task.fields)
    return Classification(values, confidences, margin, problem_of(read), answer.text)


@dataclass(frozen=True, slots=True)
class RenderedPrompt:
    """What a language model reads for one input."""

    text: str
    """Instructions, chat template and input; up to where the answer begins."""
    token_ids: tuple[int, ...]
    """Empty where a server lays the prompt out, or the weights are not here."""
    tokens: tuple[str, ...]
    """What each id stands for."""


def render_prompt(system: System, inputs: Inputs) -> RenderedPrompt:
    """Lay a prompt out as the engine does. The model itself is not loaded.

    Without the base's weights, whose chat template that takes, it is the messages.

    Raises:
        UserError: the system reads no prompt; or its weights are not here, and it depends on them
            how a function is told.
    """
    (request,) = build_requests(system.task, system.format, [Example("0", inputs, {})])
    if "language_model" not in system.capabilities:
        raise UserError(f"{system.name} is not a language model, so it reads no prompt.")
    if place := system.config.endpoint or system.config.llamacpp:
        return _messages(request.prompt, system_role=place.system_role)
    folder = system.source.locate() if system.source else None
    if folder is None and request.prompt.function is None:
        return _messages(request.prompt, system_role=True)
    if folder is None:
        check_complete(system)
    assert folder is not None
    from evalkit.engines.chat import build_chat
    from evalkit.engines.loading import load_tokenizer

    chat = build_chat(load_tokenizer(folder, system.adapter_folder))
    ids = chat.encode_prompt(request.prompt)
    text = "".join(span.text for span in chat.layout(request.prompt))
    return RenderedPrompt(text, tuple(ids), tuple(chat.decode([i]) for i in ids))


def _messages(prompt: Prompt, *, system_role: bool) -> RenderedPrompt:
    from evalkit.engines.endpoint import messages

    said = messages(prompt, system_role=system_role)
    return RenderedPrompt(json.dumps(said, indent=2, ensure_ascii=False), (), ())
