"""What evalkit says, in each language: `en.toml` and `zh.toml` hold the same codes.

A `Note` is one such sentence. It is its English text, so that it can be raised, stored and shown as
it stands; the code and the values it was made of say it in another language.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Any, Generic, Literal, TypeVar, get_args

Lang = Literal["en", "zh"]
LANGUAGES: tuple[Lang, ...] = get_args(Lang)
PARTS = "parts"
"""The value of a note that is other notes in a row; its text then stands between them."""
_NOTHING: Mapping[str, Any] = MappingProxyType({})
_Text = TypeVar("_Text", bound=str)


class Note(str):
    """A sentence of evalkit's own: its English text, and what that was made of."""

    code: str
    """Its key in the language files; empty for a text that has none."""
    params: Mapping[str, Any]
    """What fills it: texts, numbers, other notes."""

    def __new__(cls, text: str, code: str = "", params: Mapping[str, Any] = _NOTHING) -> Note:
        """A text with what it was made of."""
        made = super().__new__(cls, text)
        made.code, made.params = code, params
        return made


def say(code: str, **params: Any) -> Note:
    """A sentence by its code.

    Raises:
        KeyError: there is no such code, or not all is given that fills it.
    """
    return Note(phrases("en")[code].format(**params), code, params)


def in_a_row(parts: Iterable[str], code: str = "form.clauses") -> Note:
    """Notes as one, divided by a semicolon; with `form.list`, by a comma."""
    found = tuple(parts)
    return Note(phrases("en")[code].join(found), code, {PARTS: found})


@cache
def phrases(lang: Lang) -> Mapping[str, str]:
    """Every template by its code, such as `verdict.may_ship`."""
    text = (resources.files("evalkit.locale") / f"{lang}.toml").read_text("utf-8")
    return MappingProxyType(dict(_flat(tomllib.loads(text))))


def _flat(table: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, str]]:
    for name, found in table.items():
        if isinstance(found, str):
            yield f"{before}{name}", found
        else:
            yield from _flat(found, f"{before}{name}.")


class Speaker(Generic[_Text]):
    """Says codes and notes in one language, as one kind of text.

    Args:
        lang: the language.
        markup: makes a text of ours into this kind; it holds nothing of anybody else's.
        data: makes any other text safe to be in it, and lets this kind pass.
    """

    def __init__(
        self, lang: Lang, markup: Callable[[str], _Text], data: Callable[[object], _Text]
    ) -> None:
        self.lang: Lang = lang
        self._phrases = phrases(lang)
        self._markup, self._data = markup, data

    def __contains__(self, code: str) -> bool:
        return code in self._phrases

    def __call__(self, code: str, **params: object) -> _Text:
        """A sentence by its code. Numbers are written as its template has it."""
        shown = {name: self._filled(value) for name, value in params.items()}
        return self._markup(self._phrases[code].format(**shown))

    def text(self, found: object) -> _Text:
        """A note in this language; anything else as it is."""
        if not isinstance(found, Note) or found.code not in self._phrases:
            return self._data(found)
        try:
            if PARTS in found.params:
                return self.listed(map(self.text, found.params[PARTS]), found.code)
            return self(found.code, **found.params)
        except (KeyError, IndexError, ValueError, TypeError, AttributeError):
            return self._data(found)  # it was written by another version

    def listed(self, parts: Iterable[_Text], code: str = "form.list") -> _Text:
        """Texts in a row."""
        return self._markup(self._phrases[code].join(parts))

    def _filled(self, value: object) -> object:
        return value if isinstance(value, int | float) else self.text(value)


def sentences(content: object) -> dict[str, dict[str, Any]]:
    """Every note in what is to be written as JSON, by its text, so that `revived` finds it."""
    return {
        str(note): {"code": note.code, "params": {k: _plain(v) for k, v in note.params.items()}}
        for note in _notes(content)
    }


def revived(content: Any, known: Mapping[str, Any]) -> Any:
    """The same with a note in the place of each text that `sentences` listed."""
    if isinstance(content, str):
        found = known.get(content)
        return content if found is None else Note(content, *_read(found))
    if isinstance(content, Mapping):
        return {key: revived(value, known) for key, value in content.items()}
    if isinstance(content, Sequence):
        return [revived(value, known) for value in content]
    return content


def _notes(content: object) -> Iterator[Note]:
    if isinstance(content, Note):
        if content.code:
            yield content
    elif isinstance(content, Mapping):
        for value in content.values():
            yield from _notes(value)
    elif isinstance(content, Sequence) and not isinstance(content, str):
        for value in content:
            yield from _notes(value)


def _plain(value: object) -> object:
    """A value of a note as JSON; notes within it keep their code."""
    if isinstance(value, Note) and value.code:
        params = {name: _plain(inner) for name, inner in value.params.items()}
        return {"text": str(value), "code": value.code, "params": params}
    if isinstance(value, tuple | list):
        return [_plain(inner) for inner in value]
    return value


def _read(found: Any) -> tuple[str, Mapping[str, Any]]:
    if not isinstance(found, Mapping) or not isinstance(found.get("params"), Mapping):
        return "", _NOTHING
    return str(found.get("code")), {name: _value(v) for name, v in found["params"].items()}


def _value(value: Any) -> Any:
    if isinstance(value, Mapping):
        return Note(str(value.get("text")), *_read(value))
    if isinstance(value, list):
        return tuple(map(_value, value))
    return value
