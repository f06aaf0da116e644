"""Static embeddings of a few words, made on the spot: words of one meaning have one vector."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from model2vec import StaticModel
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers


def save_embeddings(folder: Path, meanings: Mapping[str, Sequence[str]], seed: int = 0) -> Path:
    """A dimension per meaning and two of noise, as model2vec writes them."""
    words = ["[UNK]", *(word for alike in meanings.values() for word in alike)]
    tokenizer = Tokenizer(models.WordLevel({w: n for n, w in enumerate(words)}, "[UNK]"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    vectors = np.zeros((len(words), len(meanings) + 2), np.float16)
    for place, alike in enumerate(meanings.values()):
        vectors[[words.index(word) for word in alike], place] = 1
    vectors[:, -2:] = np.random.default_rng(seed).normal(0, 0.1, (len(words), 2))
    StaticModel(vectors, tokenizer).save_pretrained(folder)
    return folder
