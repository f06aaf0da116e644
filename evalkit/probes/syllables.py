"""How many syllables an English word has, by its spelling."""

from __future__ import annotations

import re
import unicodedata

_GROUPS = re.compile(r"[aeiouy]+")
_LETTERS = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
_SILENT = re.compile(
    r"(?<=[aeiouy][^aeiouy])e(?=(?:ly|ful|fully|less|ness|ments?|where|thing|body)$)"  # hop-eful
    r"|(?<![aeiouy])(?<!^[^aeiouy])(?<![^aeiouyr]l)e$"  # mak-e; not th-e, litt-le
    r"|(?<=[^aeiouy])(?<![cgszx])(?<!sh)(?<!ch)(?<![^aeiouyrl]l)es$"  # mak-es; not hous-es
    r"|(?<=[^aeiouy])(?<![dt])(?<![^aeiouyrl]l)ed$"  # walk-ed; not wait-ed
    r"|(?<=[gq])u(?=[aeiouy])"  # q-uiet
    r"|(?<=ev)e(?=ry|ning)|(?<=us)i(?=ness)"  # every, evening, business
)
"""Vowels that are written and not spoken."""
_PARTED = re.compile(
    r"(?<![aeiouy])i(?:a(?!ge|l$|n$|ns$|lly$|te)|um|us$|ous(?<!cious)(?<!tious)(?<!gious))"
    r"|eo(?!u)(?!n$)|[^cgst]ia[nl]|[^stcg]io|i[ae]nt|iet|u[ae]t|ua[lrt]|uou|ea(?:te|tor|r$(?<=inear))"
    r"|[aeiouy]ing$|ism$|[^aeiou]ie(?:st|r)$|idea|[aeou]y[aeio](?<!^eye)|[^aeiou]yo"
)
"""Neighbouring vowels that are spoken apart."""


def count_syllables(text: str) -> int:
    """Count the syllables of an English line.

    A rule of thumb: groups of vowel letters, without those that are silent, and with those that
    are spoken as two. Spelling does not decide it for every word (see docs/forgetting.md for how
    often it does), so what is built on it needs a tolerance.
    """
    return sum(_of_word(word) for word in _LETTERS.findall(text))


def _of_word(word: str) -> int:
    plain = unicodedata.normalize("NFKD", word.lower())
    plain = "".join(c for c in plain if "a" <= c <= "z")
    if not plain:
        return 0
    spoken = _SILENT.sub("", plain)
    count = len(_GROUPS.findall(spoken)) + len(_PARTED.findall(spoken))
    return max(1, count)
