"""Characters that are not seen, and letters that look like Latin ones.

Texts are folded before (`normalising`), so the letters here are small ones: a capital look-alike
(Cyrillic В for B) has become its small letter (в), which stands for the same Latin one. The table
is of letters that pass for Latin ones in ordinary fonts, and far from all of Unicode's confusables.
"""

from __future__ import annotations

import unicodedata

_LOOKALIKES = (
    ("авеікмнорстухјѕһԁԛԝӏ", "abeikmhopctyxjshdqwl"),  # Cyrillic
    ("αβεζηικμνορτυχ", "abezhikmvoptux"),  # Greek
    ("օսհոցզ", "ouhngq"),  # Armenian
    ("ıɑɡɩ", "iagi"),  # Latin letters beside the usual ones
    ("ᴀʙᴄᴅᴇꜰɢʜɪᴊᴋʟᴍɴᴏᴘʀꜱᴛᴜᴠᴡʏᴢ", "abcdefghijklmnoprstuvwyz"),  # small capitals
)
_UNSEEN = frozenset(
    {0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x3164, 0xFFA0}
    | {*range(0x180B, 0x1810), *range(0xFE00, 0xFE10), *range(0xE0100, 0xE01F0)}
)
"""Joiners, fillers and variation selectors, which Unicode does not count as format characters."""

_LATIN = {ord(a): b for some, others in _LOOKALIKES for a, b in zip(some, others, strict=True)}


def to_skeleton(folded: str) -> str:
    """Return a folded text without unseen characters, and with Latin letters for look-alikes.

    Texts in other scripts change too, all in the same way, so they are told apart as before.
    """
    if folded.isascii():
        return folded
    return "".join(character for character in folded.translate(_LATIN) if not _is_unseen(character))


def _is_unseen(character: str) -> bool:
    return ord(character) in _UNSEEN or unicodedata.category(character) == "Cf"
