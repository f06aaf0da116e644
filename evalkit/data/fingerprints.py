"""What an adapter carries of its training inputs, so that any test set can be held against them.

The file holds no text. It does answer questions: whoever guesses an input can have the guess
confirmed, and is told how near a near one is. That lies in the purpose and cannot be taken away;
inputs that must not be confirmed to anyone call for keeping the file as closely as the data.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evalkit.data.minhash import NGRAM, PERMUTATIONS, SEED, sign, similar_pairs
from evalkit.data.normalising import exact_inputs, normalised_inputs
from evalkit.data.overlap import THRESHOLD, Kind, Match, check_threshold
from evalkit.errors import UserError
from evalkit.records import Example

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from evalkit.data.minhash import Signatures

    Hashes = npt.NDArray[np.uint64]

FILE = "contamination.bin"
"""The file's name beside an adapter."""
SCHEMA = 1
"""Changes with everything that decides the hashes: normalisation, n-grams, permutations."""

_HEADER = "evalkit"
_METHOD = {"schema": SCHEMA, "ngram": NGRAM, "permutations": PERMUTATIONS, "seed": SEED}


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
        return cls(
            exact=np.array(sorted(exact), dtype=np.uint64),
            normalised=np.array(normalised, dtype=np.uint64),
            signatures=sign([texts[key] for key in normalised]),
            rows=rows,
            threshold=threshold,
            data_sha256=data_sha256,
        )

    def match(self, examples: Sequence[Example]) -> tuple[Match | None, ...]:
        """Return for each example in what sense it was trained on, or None.

        The similarity of near matches is estimated, as there are no texts to compare; its
        standard error is 0.035 at 0.8.
        """
        exact, normalised = set(self.exact.tolist()), set(self.normalised.tolist())
        found: list[Match | None] = []
        left: dict[str, list[int]] = {}
        for position, example in enumerate(examples):
            text = normalised_inputs(example)
            if _hash_exact(example) in exact:
                found.append(Match(Kind.EXACT, 1.0))
            elif _hash(text) in normalised:
                found.append(Match(Kind.NORMALISED, 1.0))
            else:
                found.append(None)
                left.setdefault(text, []).append(position)
        best: dict[int, float] = {}
        pairs = similar_pairs(sign(left), self.signatures, self.threshold, self.threshold)
        for rows, _, similarities in pairs:
            for row, similarity in zip(rows.tolist(), similarities.tolist(), strict=True):
                best[row] = max(best.get(row, 0.0), similarity)
        for row, positions in enumerate(left.values()):
            for position in positions if row in best else ():
                found[position] = Match(Kind.NEAR, best[row])
        return tuple(found)

    def save(self, path: Path) -> None:
        """Write the file, whole or not at all. The same fingerprints give the same bytes."""
        from safetensors.numpy import save

        header = {
            **_METHOD,
            "rows": self.rows,
            "threshold": self.threshold,
            "data_sha256": self.data_sha256,
            "sha256": self._checksum(),
        }
        arrays: dict[str, npt.NDArray[Any]] = {
            "exact": self.exact,
            "normalised": self.normalised,
            "signatures": self.signatures,
        }
        making = path.with_name(f".{path.name}.{os.getpid()}")
        # One entry: safetensors writes several in an order of its own.
        making.write_bytes(save(arrays, {_HEADER: json.dumps(header, sort_keys=True)}))
        making.replace(path)

    def _checksum(self) -> str:
        digest = hashlib.sha256(f"{self.rows} {self.threshold} {self.data_sha256}".encode())
        for array in (self.exact, self.normalised, self.signatures):
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
            if {key: header[key] for key in _METHOD} != _METHOD:
                raise UserError(f"{path} was written by another version of evalkit. {again}")
            read = Fingerprints(
                **{name: file.get_tensor(name) for name in ("exact", "normalised", "signatures")},
                **{name: header[name] for name in ("rows", "threshold", "data_sha256")},
            )
            whole = header["sha256"] == read._checksum()
    except (SafetensorError, OSError, ValueError, KeyError, TypeError) as error:
        raise UserError(damaged) from error
    if not whole:
        raise UserError(damaged)
    return read


def _hash_exact(example: Example) -> int:
    return _hash(json.dumps(exact_inputs(example)))


def _hash(text: str) -> int:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
    return int.from_bytes(digest[:8], "little")
