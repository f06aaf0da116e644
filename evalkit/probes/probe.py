"""What is asked of a model beside its task, and what each answer is checked against."""

from __future__ import annotations

import json
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evalkit.errors import UserError
from evalkit.validation import explain


class ProbeKind(StrEnum):
    """What ability a probe asks for."""

    FACT = "fact"
    ARITHMETIC = "arithmetic"
    CODE = "code"
    HAIKU = "haiku"
    TRANSLATION = "translation"
    OPEN = "open"


class _Probe(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    id: str
    prompt: str


Texts = Annotated[tuple[str, ...], Field(min_length=1)]


class FactProbe(_Probe):
    """One fact; any of the accepted answers has to be named."""

    kind: Literal[ProbeKind.FACT]
    accepted: Texts


class ArithmeticProbe(_Probe):
    """One number; it has to be the last that is named, or follow "equals"."""

    kind: Literal[ProbeKind.ARITHMETIC]
    number: float


class Case(BaseModel):
    """One call of the function asked for."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    arguments: tuple[Any, ...]
    gives: Any


class CodeProbe(_Probe):
    """A Python function that has to give the right values."""

    kind: Literal[ProbeKind.CODE]
    function: str | None = None
    """Its name, where the prompt says one."""
    cases: Annotated[tuple[Case, ...], Field(min_length=1)]


class HaikuProbe(_Probe):
    """Three lines of 5, 7 and 5 syllables."""

    kind: Literal[ProbeKind.HAIKU]


class TranslationProbe(_Probe):
    """A translation that is one of the references, or near one."""

    kind: Literal[ProbeKind.TRANSLATION]
    references: Texts


class OpenProbe(_Probe):
    """An open question; the answer has to be about it and be no babble."""

    kind: Literal[ProbeKind.OPEN]
    keywords: Texts
    """Words, or beginnings of words, of which enough have to occur."""
    least_keywords: int = 2
    least_words: int = 8
    """How many different words an answer has at least that are not in the prompt."""


Probe = FactProbe | ArithmeticProbe | CodeProbe | HaikuProbe | TranslationProbe | OpenProbe
_ANY: TypeAdapter[Probe] = TypeAdapter(Annotated[Probe, Field(discriminator="kind")])


def load_probes(path: Path) -> list[Probe]:
    """Read probes, one JSON object a line.

    Raises:
        UserError: naming the line and what is wrong there.
    """
    probes: dict[str, Probe] = {}
    for where, line in _lines(path):
        try:
            probe = _ANY.validate_json(line)
        except ValidationError as error:
            raise UserError(f"{where}: {explain(error)}") from error
        if probe.id in probes:
            raise UserError(f"{where}: id '{probe.id}' appears twice. Give every probe its own.")
        probes[probe.id] = probe
    return list(probes.values())


def load_texts(path: Path) -> dict[str, str]:
    """Read texts, one JSON object with `id` and `text` a line.

    Raises:
        UserError: naming the line and what is wrong there.
    """
    texts: dict[str, str] = {}
    for where, line in _lines(path):
        try:
            row = json.loads(line)
            name, text = str(row["id"]), str(row["text"])
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{where}: not a JSON object with `id` and `text`.") from error
        if name in texts:
            raise UserError(f"{where}: id '{name}' appears twice. Give every text its own.")
        texts[name] = text
    return texts


def _lines(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_file():
        raise UserError(f"There is no {path}.")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        if line.strip():
            yield f"{path}:{number}", line
