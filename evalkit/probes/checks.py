"""Whether an answer to a probe is right: total functions of its text.

They are strict where a classification could slip through and lenient about everything a reader
would not mind: a preamble, markup, another phrasing. They are the same for the tuned model and
its base; what a check gets wrong about one, it gets wrong about the other.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from evalkit.probes.probe import (
    ArithmeticProbe,
    CodeProbe,
    FactProbe,
    HaikuProbe,
    OpenProbe,
    Probe,
    TranslationProbe,
)
from evalkit.probes.sandbox import Stop, run_code
from evalkit.probes.syllables import count_syllables
from evalkit.thoughts import ALL

_CHINESE = r"\u3400-\u9fff"
_TOKEN = re.compile(rf"[{_CHINESE}]|[^\W_{_CHINESE}]+(?:'[^\W_{_CHINESE}]+)*")
_NUMBER = re.compile(r"(?<![A-Za-z_\d.,])-?\d+(?:,\d{3})*(?:\.\d+)?(?![A-Za-z_\d])")
_RESULT = re.compile(rf"(?:=|\bequals?|\bequal to|等于)\s*\**\$?({_NUMBER.pattern})")
_FENCE = re.compile(r"```[\w+-]*[ \t]*\n(.*?)(?:```|\Z)", re.DOTALL)
_OUTER_FENCE = re.compile(r"\A\s*```\w*\s*|```\s*\Z")
_FIRST_CODE = re.compile(r"(?:async )?def |class |import |from \w|@\w")
_MORE_CODE = re.compile(
    r"(?:async )?def |class |import |from |@|#|if |for |while |return |try:|\w+ = "
)
_RECORD = re.compile(r"""\s*(?:[{\[]\s*["'{\[]|<start_function_call>|call\s*:\s*\w+\s*\{)""")
_SYLLABLES = (5, 7, 5)
_TOLERANCE = 1
"""Syllables a line of a haiku may be off: counting by spelling is, now and then, and seed 004
passed a haiku whose count was "slightly off"."""
_LIKE_ENOUGH = 0.75
"""F1 of words (of characters in Chinese) that makes a text a translation."""


@dataclass(frozen=True)
class Checked:
    """What a check says of an answer."""

    passed: bool | None
    """None where it could not be told: code that cannot be confined here is not run."""
    why: str
    stopped: Stop | None = None
    """Why an answer's code came to no result."""


def check(probe: Probe, text: str) -> Checked:
    """Whether an answer to a probe is right, and why."""
    said = ALL.removed(text).strip()
    if not said:
        return Checked(False, "empty")
    if is_record(said):
        return Checked(False, "a record instead of an answer")
    match probe:
        case FactProbe():
            return _check_fact(probe, said)
        case ArithmeticProbe():
            return _check_arithmetic(probe, said)
        case CodeProbe():
            return _check_code(probe, said)
        case HaikuProbe():
            return _check_haiku(probe, said)
        case TranslationProbe():
            return _check_translation(probe, said)
        case OpenProbe():
            return _check_open(probe, said)


def is_record(text: str) -> bool:
    """Whether a text is a JSON object or array or a function call, in a code fence or not."""
    return _RECORD.match(_OUTER_FENCE.sub("", text)) is not None


def fold(text: str) -> str:
    """Without case, diacritics and the difference between kinds of quotes and widths."""
    plain = unicodedata.normalize("NFKD", text.replace("’", "'")).casefold()
    return "".join(c for c in plain if not unicodedata.combining(c))


def tokens(text: str) -> list[str]:
    """The words of a text, folded; of Chinese, the characters."""
    return _TOKEN.findall(fold(text))


def _check_fact(probe: FactProbe, said: str) -> Checked:
    words = tokens(said)
    for answer in probe.accepted:
        if _holds(words, tokens(answer)):
            return Checked(True, f"says {answer}")
    return Checked(False, f"does not say {' or '.join(probe.accepted)}")


def _check_arithmetic(probe: ArithmeticProbe, said: str) -> Checked:
    plain = unicodedata.normalize("NFKC", said)
    # Where there is a result, numbers may still come after it: "= 42, the sum of 15 and 27".
    numbers = _RESULT.findall(plain) or _NUMBER.findall(plain)
    if not numbers:
        return Checked(False, "says no number")
    last = float(numbers[-1].replace(",", ""))
    right = abs(last - probe.number) < 1e-6
    return Checked(right, f"comes to {last:g}" + ("" if right else f", not {probe.number:g}"))


def _check_code(probe: CodeProbe, said: str) -> Checked:
    code = find_code(said)
    if code is None:
        return Checked(False, "no code")
    ran = run_code(code, [case.arguments for case in probe.cases], function=probe.function)
    if ran.values is None:
        why = ": ".join(part for part in (str(ran.stopped), ran.detail) if part)
        return Checked(None if ran.stopped is Stop.UNAVAILABLE else False, why, ran.stopped)
    for case, value in zip(probe.cases, ran.values, strict=False):
        if not _same(value, case.gives):
            given = ", ".join(map(repr, case.arguments))
            return Checked(False, f"f({given}) gives {value!r:.60}, not {case.gives!r}")
    if len(ran.values) != len(probe.cases):
        return Checked(False, "gives too few values")
    return Checked(True, f"right in {len(probe.cases)} cases")


def find_code(text: str) -> str | None:
    """The Python code in an answer: the first fenced block that defines something, or else
    what begins like code and goes on like it.
    """  # noqa: D205
    for block in _FENCE.findall(text):
        if re.search(r"^\s*(?:async )?def |\blambda\b", block, re.MULTILINE):
            return str(block)
    lines = [line for line in text.splitlines() if not line.startswith("```")]
    start = next((i for i, line in enumerate(lines) if _FIRST_CODE.match(line)), None)
    if start is None:
        return None
    code = [lines[start]]
    for line in lines[start + 1 :]:
        if line.strip() and not line[0].isspace() and not _MORE_CODE.match(line):
            break
        code.append(line)
    return "\n".join(code)


def _same(value: Any, wanted: Any) -> bool:
    """Equal as JSON: 1 is not true, and floats may be off by rounding."""
    if isinstance(value, bool) or isinstance(wanted, bool):
        return value is wanted
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return abs(value - wanted) <= 1e-6 * max(1.0, abs(wanted))
    if isinstance(value, list) and isinstance(wanted, list):
        return len(value) == len(wanted) and all(map(_same, value, wanted))
    if isinstance(value, dict) and isinstance(wanted, dict):
        return value.keys() == wanted.keys() and all(_same(value[k], wanted[k]) for k in wanted)
    return bool(value == wanted)


def _check_haiku(probe: HaikuProbe, said: str) -> Checked:
    given = fold(probe.prompt)  # may hold an example
    stanzas = [s for s in _stanzas(said) if not all(fold(line) in given for line in s)]
    if not stanzas:
        return Checked(False, "no three lines of its own together")
    counts = [[count_syllables(line) for line in lines] for lines in stanzas]
    for found in counts:
        if all(abs(n - w) <= _TOLERANCE for n, w in zip(found, _SYLLABLES, strict=True)):
            return Checked(True, f"{_dashes(found)} syllables")
    return Checked(False, f"{_dashes(counts[0])} syllables")


def _stanzas(text: str) -> list[list[str]]:
    """The parts of a text, between empty lines, that are three lines of words.

    A line before them that ends with a colon, or is a heading, is none of theirs.
    """
    found = []
    for part in re.split(r"\n\s*\n", text):
        lines = [line.strip() for line in part.splitlines() if line.strip()]
        lines = [line for line in lines if not line.startswith(("#", "```", "---"))]
        while lines and lines[0].strip('*_"').endswith((":", "：")):
            lines = lines[1:]
        if len(lines) == 3 and all(count_syllables(line) for line in lines):
            found.append(lines)
    return found


def _dashes(counts: Sequence[int]) -> str:
    return "-".join(map(str, counts))


def _check_translation(probe: TranslationProbe, said: str) -> Checked:
    whole = tokens(said)
    best = 0.0
    for reference in probe.references:
        wanted = tokens(reference)
        if _holds(whole, wanted):
            return Checked(True, f"says {reference}")
        best = max((best, *(_f1(tokens(part), wanted) for part in _parts(said))))
    near = f"{best:.0%} like a reference"
    return Checked(best >= _LIKE_ENOUGH, near)


def _parts(text: str) -> Iterator[str]:
    """Where a translation may stand: a line, behind a colon, between quotes."""
    for line in text.splitlines():
        yield line
        yield from re.split(r"[:：]\s", line)[1:]
    yield from re.findall(r"[\"“«「『]([^\"”»」』\n]+)[\"”»」』]", text)


def _f1(said: Sequence[str], wanted: Sequence[str]) -> float:
    """Overlap of two bags of words (as in SQuAD, arXiv 1606.05250)."""
    common = sum((Counter(said) & Counter(wanted)).values())
    return 2 * common / (len(said) + len(wanted)) if common else 0.0


def _check_open(probe: OpenProbe, said: str) -> Checked:
    words = tokens(said)
    own = len(set(words) - set(tokens(probe.prompt)))
    if own < probe.least_words:
        return Checked(False, f"{own} words of its own")
    if repeats(words):
        return Checked(False, "goes round in circles")
    hit = [k for k in probe.keywords if _holds(words, tokens(k), begins=True)]
    told = f"names {', '.join(hit) or 'no keyword'}"
    return Checked(len(hit) >= probe.least_keywords, told)


def repeats(words: Sequence[str]) -> bool:
    """Whether a text goes round in circles.

    It does where the same four words in a row come up four times, or where fewer than three in
    ten words are new, of thirty or more.
    """
    if len(words) >= 30 and len(set(words)) < 0.3 * len(words):
        return True
    fours = Counter(zip(words, words[1:], words[2:], words[3:], strict=False))
    return max(fours.values(), default=0) >= 4


def _holds(words: Sequence[str], wanted: Sequence[str], *, begins: bool = False) -> bool:
    """Whether some words are in a row; with `begins`, the last may go on.

    What is wanted is not empty: nothing is found nowhere.
    """
    size = len(wanted)
    if not size:
        return False
    for start in range(len(words) - size + 1):
        row = words[start : start + size]
        if row[:-1] == wanted[:-1] and (
            row[-1] == wanted[-1] or (begins and row[-1].startswith(wanted[-1]))
        ):
            return True
    return False
