"""Edits that leave a row's right labels as they were, to learn that they do not matter.

The kinds are those that a robustness suite asks about. Tables, emoji and app names are this
module's own: what a suite asks is not what was learned.
"""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from evalkit.data.app_names import app_names
from evalkit.data.perturbing import NAME_INPUTS
from evalkit.records import Example

Edit = Callable[[str, random.Random], str]

EMOJI = (
    *(
        "😀",
        "😄",
        "😉",
        "😌",
        "🤗",
        "🤔",
        "😅",
        "🫡",
        "👌",
        "🤝",
        "🙌",
        "👏",
        "💡",
        "📌",
        "📝",
        "📣",
    ),
    *("🔔", "⏳", "☀️", "🌧️", "🌱", "🌸", "🍂", "🍎", "☕", "🎈", "🎯", "🧩", "🪁", "🚲", "🐱", "🐢"),
    *("⭐", "🌙", "🔸", "▪️", "➡️", "✅", "❗", "♻️"),
)

APPS = app_names("training")
"""Apps by their English and their Chinese names."""

_ENGLISH = {english.casefold(): chinese for english, chinese in APPS}
_CHINESE = {chinese: english for english, chinese in APPS}
_BEHIND_APPS = (" App", " for Android", " for iOS", " (beta)", " HD", " Mobile", " Lite")

_WIDE = {code: code + 0xFEE0 for code in range(0x21, 0x7F)}
_WIDE_LETTERS = {c: w for c, w in _WIDE.items() if chr(c).isalnum()}
_WIDE_DIGITS = {c: w for c, w in _WIDE.items() if chr(c).isdigit()}
_MARK = re.compile(r"(?<=\w)([,.!?;:](?=\s|$)|[，。！？；：])")
_INNER_MARK = re.compile(r"(?<=\w)([,;:!?]) +(?=\w)")
_WORD = re.compile(r"[A-Za-z]{4,}")
_NEXT_KEY = {
    letter: near
    for row in ("qwertyuiop", "asdfghjkl", "zxcvbnm")
    for letter, near in zip(row, row[1:] + row[-2], strict=True)
}


def _capitals(text: str, draw: random.Random) -> str:
    return draw.choice((str.upper, str.lower, str.title, str.capitalize, str.swapcase))(text)


def _capital_word(text: str, draw: random.Random) -> str:
    return _change_word(text, draw, str.upper)


def _case(text: str, draw: random.Random) -> str:
    # Mostly the whole text: that is the edit that changes most of its tokens.
    return (_capitals if draw.random() < 0.85 else _capital_word)(text, draw)


def _width(text: str, draw: random.Random) -> str:
    return text.translate(draw.choice((_WIDE, _WIDE, _WIDE_LETTERS, _WIDE_DIGITS)))


def _spacing(text: str, draw: random.Random) -> str:
    ways: tuple[Callable[[str], str], ...] = (
        lambda t: t.replace(" ", draw.choice(("  ", "   ", "\u00a0", "\u3000"))),
        lambda t: _MARK.sub(r" \1", t),
        lambda t: _INNER_MARK.sub(r"\1", t),
        lambda t: f" {t} ",
        lambda t: t.replace(" ", "\n", 1),
    )
    return draw.choice(ways)(text)


def _punctuation(text: str, draw: random.Random) -> str:
    ways: tuple[Callable[[str], str], ...] = (
        lambda t: _MARK.sub("", t),
        lambda t: t.rstrip(".!?。！？") + draw.choice(("...", "!!", "…", "。", "!")),
        lambda t: t.translate({ord("'"): "\u2019", ord('"'): "\u201d", ord("-"): "\u2013"}),
    )
    return draw.choice(ways)(text)


def _emoji(text: str, draw: random.Random) -> str:
    if not text.strip():
        return text
    signs = "".join(draw.sample(EMOJI, draw.choice((1, 1, 2, 3))))
    place = draw.random()
    if place < 0.5:
        return f"{text} {signs}"
    if place < 0.8:
        return f"{signs} {text}"
    head, gap, tail = text.partition(" ")
    return f"{head} {signs} {tail}" if gap else f"{text}{signs}"


def _typo(text: str, draw: random.Random) -> str:
    for _ in range(draw.choice((1, 1, 2))):
        text = _change_word(text, draw, lambda word: _mistyped(word, draw))
    return text


def _mistyped(word: str, draw: random.Random) -> str:
    at = draw.randrange(1, len(word) - 1)
    way = draw.randrange(4)
    if way == 0:
        return word[:at] + word[at + 1 :]
    if way == 1:
        return word[: at + 1] + word[at:]
    if way == 2:
        return word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    return word[:at] + _NEXT_KEY.get(word[at].lower(), "e") + word[at + 1 :]


def _change_word(text: str, draw: random.Random, change: Callable[[str], str]) -> str:
    words = list(_WORD.finditer(text))
    if not words:
        return text
    word = draw.choice(words)
    return text[: word.start()] + change(word[0]) + text[word.end() :]


def _app_name(text: str, draw: random.Random) -> str:
    other = _CHINESE.get(text) or _ENGLISH.get(text.casefold())
    if other and draw.random() < 0.7:
        return other
    if not text.strip():
        return text
    ways: tuple[Callable[[str], str], ...] = (
        str.lower,
        lambda t: t.replace(" ", ""),
        lambda t: t + draw.choice(_BEHIND_APPS),
    )
    return draw.choice(ways)(text)


_SYLLABLES = [a + b for a in "bdfgklmnprstvz" for b in "aeio"]
_CJK = [chr(code) for code in range(0x4E00, 0x9F00)]
_CYRILLIC = [chr(code) for code in range(0x430, 0x450)]


def _unknown_app(text: str, draw: random.Random) -> str:
    """A name that no app has, so that the texts have to say what the row is."""
    if not text.strip():
        return text
    letters, most = draw.choice(((_SYLLABLES, 4), (_CJK, 4), (_CYRILLIC, 8)))
    return "".join(draw.choices(letters, k=draw.randint(2, most))).capitalize()


EDITS: Mapping[str, tuple[Edit, bool, bool]] = {
    "case": (_case, True, True),
    "width": (_width, True, True),
    "spacing": (_spacing, True, True),
    "punctuation": (_punctuation, False, True),
    "emoji": (_emoji, False, True),
    "typo": (_typo, False, True),
    "app-name": (_app_name, True, False),
    "unknown-app": (_unknown_app, True, False),
}
"""Kind -> the edit, whether it is made to inputs that name something, and to all others."""


def add_noise(
    example: Example, kinds: Sequence[str], second: float, draw: random.Random
) -> Example:
    """Change an example in one way, and at times in another as well; its labels stay.

    It comes back as it is where none of the kinds finds anything to change.

    `kinds` are of `EDITS`, and `second` is the chance of another one.
    """
    wanted = 1 + (draw.random() < second)
    for kind in draw.sample(kinds, len(kinds)):
        changed = _edit(example, kind, draw)
        if changed is not example:
            example, wanted = changed, wanted - 1
        if not wanted:
            break
    return example


def _edit(example: Example, kind: str, draw: random.Random) -> Example:
    edit, on_names, on_texts = EDITS[kind]
    places = [name for name in example.inputs if (on_names if name in NAME_INPUTS else on_texts)]
    if len(places) > 1 and draw.random() < 0.3:
        places = [draw.choice(places)]
    inputs = {
        name: edit(text, draw) if name in places else text for name, text in example.inputs.items()
    }
    return example if inputs == dict(example.inputs) else replace(example, inputs=inputs)
