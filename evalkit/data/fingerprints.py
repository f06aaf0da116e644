"""What an adapter carries of its training inputs, so that any test set can be held against them.

The file holds no text. It does answer questions: whoever guesses an input can have the guess
confirmed, and is told how near a near one is. That lies in the purpose and cannot be taken away;
inputs that must not be confirmed to anyone call for keeping the file as closely as the data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.atomic import replacing
from evalkit.data.minhash import NGRAM, PERMUTATIONS, SEED, sign, similar_pairs
from evalkit.data.normalising import (
    exact_inputs,
    normalise_text,
    normalise_text_v1,
    normalised_inputs,
)
from evalkit.data.overlap import THRESHOLD, Kind, Match, check_threshold
from evalkit.data.word_edits import edit_hashes
from evalkit.errors import UserError
from evalkit.records import Example

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.data.minhash import Signatures

    Hashes = npt.NDArray[np.uint64]

FILE = "contamination.bin"
"""The file's name beside an adapter."""
SCHEMA = 2
"""Changes with everything that decides the hashes: normalisation, n-grams, permutations."""
READABLE = (1, SCHEMA)
"""Files of schema 1 hold no hashes of edits, and of texts with look-alikes as they stood."""

_HEADER = "evalkit"
_METHOD = {"ngram": NGRAM, "permutations": PERMUTATIONS, "seed": SEED}


@dataclass(frozen=True, eq=False, slots=True)
class Fingerprints:
    """Hashes and MinHash signatures of training inputs."""

    exact: Hashes
    """Of the distinct inputs, ascending."""
    normalised: Hashes
    """Of the distinct normalised inputs, ascending."""
    signatures: Signatures
    """One per normalised input, in the order of `normalised`."""
    rows: int
    """Rows they were made from, duplicates counted."""
    threshold: float
    """The least estimated similarity of a near duplicate."""
    data_sha256: str | None
    """Hash of the data set the rows came from, where it was given."""
    edits: Hashes | None = None
    """Of the distinct bags of words (`word_edits`), ascending; None in files of schema 1."""

    @property
    def schema(self) -> int:
        """Which hashes these are."""
        return 1 if self.edits is None else SCHEMA

    @classmethod
    def of(
        cls,
        examples: Iterable[Example],
        *,
        threshold: float = THRESHOLD,
        data_sha256: str | None = None,
    ) -> Fingerprints:
        """Take the fingerprints of examples; the same examples give the same, in any order."""
        import numpy as np

        check_threshold(threshold)
        exact: set[int] = set()
        texts: dict[int, str] = {}
        rows = 0
        for example in examples:
            rows += 1
            exact.add(_hash_exact(example))
            text = normalised_inputs(example)
            texts[_hash(text)] = text
        normalised = sorted(texts)
        edits = {key for text in texts.values() for key in edit_hashes(text)}
        return cls(
            exact=np.array(sorted(exact), dtype=np.uint64),
            normalised=np.array(normalised, dtype=np.uint64),
            signatures=sign([texts[key] for key in normalised]),
            rows=rows,
            threshold=threshold,
            data_sha256=data_sha256,
            edits=np.array(sorted(edits), dtype=np.uint64),
        )

    def match(self, examples: Sequence[Example]) -> tuple[Match | None, ...]:
        """Return for each example in what sense it was trained on, or None.

        The similarity of near matches is estimated, as there are no texts to compare; its
        standard error is 0.035 at 0.8. Of one that differs in a word or an input it is the share
        of words in common, where that is more.
        """
        exact = set(self.exact.tolist())
        found = self._match_texts(examples, normalise_text)
        if self.schema == 1:
            as_it_stands = self._match_texts(examples, normalise_text_v1)
            found = [_stronger(*both) for both in zip(found, as_it_stands, strict=True)]
        return tuple(
            Match(Kind.EXACT, 1.0) if _hash_exact(example) in exact else match
            for example, match in zip(examples, found, strict=True)
        )

    def _match_texts(
        self, examples: Sequence[Example], normalise: Callable[[str], str]
    ) -> list[Match | None]:
        """Match normalised texts."""
        texts = [normalised_inputs(example, normalise) for example in examples]
        normalised = set(self.normalised.tolist())
        left = [text for text in dict.fromkeys(texts) if _hash(text) not in normalised]
        near = self._near(left)
        found: dict[str, Match | None] = dict.fromkeys(texts, Match(Kind.NORMALISED, 1.0))
        found |= dict.fromkeys(left)
        found |= {text: Match(Kind.NEAR, similarity) for text, similarity in near.items()}
        return [found[text] for text in texts]

    def _near(self, texts: Sequence[str]) -> dict[str, float]:
        """Text -> the greatest similarity, of those that are near a row."""
        best: dict[str, float] = {}
        pairs = similar_pairs(sign(texts), self.signatures, self.threshold, self.threshold)
        for rows, _, similarities in pairs:
            for row, similarity in zip(rows.tolist(), similarities.tolist(), strict=True):
                best[texts[row]] = max(best.get(texts[row], 0.0), similarity)
        if self.edits is None:
            return best
        edits = [(text, key, share) for text in texts for key, share in edit_hashes(text).items()]
        known = _stand_in([key for _, key, _ in edits], self.edits)
        for (text, _, share), is_known in zip(edits, known, strict=True):
            if is_known:
                best[text] = max(best.get(text, 0.0), share)
        return best

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all. The same fingerprints give the same bytes."""
        from safetensors.numpy import save

        header = {
            **_METHOD,
            "schema": self.schema,
            "rows": self.rows,
            "threshold": self.threshold,
            "data_sha256": self.data_sha256,
            "sha256": self._checksum(),
        }
        with replacing(path) as making:
            # One entry: safetensors writes several in an order of its own.
            making.write_bytes(save(self._arrays(), {_HEADER: json.dumps(header, sort_keys=True)}))

    def _arrays(self) -> dict[str, npt.NDArray[Any]]:
        arrays: dict[str, npt.NDArray[Any]] = {
            "exact": self.exact,
            "normalised": self.normalised,
            "signatures": self.signatures,
        }
        return arrays if self.edits is None else arrays | {"edits": self.edits}

    def _checksum(self) -> str:
        digest = hashlib.sha256(f"{self.rows} {self.threshold} {self.data_sha256}".encode())
        for array in self._arrays().values():
            digest.update(f" {array.dtype} {array.shape} ".encode() + array.tobytes())
        return digest.hexdigest()


def load_fingerprints(path: Path) -> Fingerprints:
    """Read a file that `Fingerprints.save` wrote.

    Raises `UserError` where there is none, it is damaged, or another version wrote it.
    """
    from safetensors import SafetensorError, safe_open

    again = "Make it again with `evalkit data fingerprint`, or train again."
    if not path.is_file():
        raise UserError(f"There are no training fingerprints at {path}. {again}")
    damaged = f"{path} is damaged, or holds no training fingerprints. {again}"
    try:
        with safe_open(path, framework="numpy") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            known = header["schema"] in READABLE
            if not known or {key: header[key] for key in _METHOD} != _METHOD:
                raise UserError(f"{path} was written by another version of evalkit. {again}")
            read = Fingerprints(
                **{name: file.get_tensor(name) for name in ("exact", "normalised", "signatures")},
                **{name: header[name] for name in ("rows", "threshold", "data_sha256")},
                edits=file.get_tensor("edits") if header["schema"] > 1 else None,
            )
            whole = header["sha256"] == read._checksum()
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(damaged) from error
    if not whole:
        raise UserError(damaged)
    return read


def _stronger(one: Match | None, other: Match | None) -> Match | None:
    found = [match for match in (one, other) if match]
    return max(found, key=lambda match: match.similarity, default=None)


def _stand_in(keys: Sequence[int], hashes: Hashes) -> Sequence[bool]:
    """Which keys are among the hashes, which ascend."""
    import numpy as np

    asked = np.array(keys, dtype=np.uint64)
    found: Sequence[bool] = (
        np.searchsorted(hashes, asked, "right") > np.searchsorted(hashes, asked, "left")
    ).tolist()
    return found


def _hash_exact(example: Example) -> int:
    return _hash(json.dumps(exact_inputs(example)))


def _hash(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")
