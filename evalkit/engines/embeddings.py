"""What makes TF-IDF a stronger baseline: static embeddings beside it.

Counts know a word only if the training rows have it. A static embedding has a vector for each
token of a vocabulary, learned from much other text, so that a word nobody trained on resembles
those that mean the same. Texts are the mean of their tokens' vectors: no order, no context, no GPU.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from evalkit.errors import UserError
from evalkit.weights.folder import weights_fingerprint
from evalkit.weights.tokenizer_files import tokenizer_sha256

if TYPE_CHECKING:
    from model2vec import StaticModel
    from scipy import sparse


@dataclass(frozen=True, eq=False)
class Embeddings:
    """Static embeddings in memory."""

    model: StaticModel
    identity: Mapping[str, str]
    """Hashes of the vectors and of what makes texts their tokens."""

    @property
    def length(self) -> int:
        """Of a text's vector."""
        return int(self.model.dim)

    def encode(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """A row per text, of length 1: the mean of its tokens; zeros for a text of none."""
        from scipy import sparse
        from sklearn.preprocessing import normalize  # type: ignore[import-untyped]

        vectors = self.model.encode(
            list(texts), max_length=None, normalize=False, use_multiprocessing=False
        )
        return sparse.csr_matrix(normalize(vectors.astype("float64")))


def load_embeddings(folder: Path) -> Embeddings:
    """Load what model2vec saved: `model.safetensors`, `tokenizer.json` and `config.json`.

    Raises:
        UserError: model2vec is not installed, or the folder holds something else.
    """
    try:
        from model2vec import StaticModel
    except ImportError as error:
        raise UserError(
            "Static embeddings are read by model2vec, which is not installed: "
            "pip install 'pytest-evalkit[embeddings]'"
        ) from error
    import numpy as np

    try:
        model = StaticModel.from_pretrained(folder)
    except Exception as error:  # the tokenizers library raises no other
        raise UserError(f"{folder} holds no static embeddings of model2vec: {error}") from error
    if not np.isfinite(model.embedding).all():
        raise UserError(f"{folder} holds vectors that are not made of numbers.")
    identity = {
        "weights_sha256": weights_fingerprint(folder),
        "tokenizer_sha256": tokenizer_sha256(folder),
    }
    return Embeddings(model, identity)
