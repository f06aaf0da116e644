"""A tokenizer as GGUF's metadata has it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gguf import GGUFWriter, TokenType

from evalkit.errors import UserError

if TYPE_CHECKING:
    from evalkit.engines.chat import Chat

_CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}|{_REST}": "qwen2",
    rf"{_CONTRACTIONS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|\p{{N}}{{1,3}}|{_REST}": "llama-bpe",
}
"""How a text is cut before merges -> llama.cpp's name for it (`tokenizer.ggml.pre`)."""
_SPACE = "\N{LOWER ONE EIGHTH BLOCK}"
"""What SentencePiece writes for a space."""
_UNREACHED = -1e9
"""Score of a piece that no merge makes."""


@dataclass(frozen=True)
class Vocabulary:
    """Tokens by their ids, and how a text is cut into them."""

    model: str
    """GGUF's name of the algorithm: `gpt2` for byte-level BPE, `llama` for SentencePiece's."""
    pre: str
    """How a text is cut before; see `_SPLITS`."""
    tokens: tuple[str, ...]
    types: tuple[TokenType, ...]
    merges: tuple[str, ...] = ()
    """Of byte-level BPE, in order of rank."""
    scores: tuple[float, ...] = ()
    """Of SentencePiece: what is merged first has the highest."""
    leading_space: bool = False

    def write(self, writer: GGUFWriter) -> None:
        """Add the vocabulary to a file's metadata."""
        writer.add_tokenizer_model(self.model)
        writer.add_tokenizer_pre(self.pre)
        writer.add_token_list(self.tokens)
        writer.add_token_types(self.types)
        if self.merges:
            writer.add_token_merges(self.merges)
        if self.scores:
            writer.add_token_scores(self.scores)
            writer.add_add_space_prefix(self.leading_space)


def write_tokenizer(writer: GGUFWriter, chat: Chat, rows: int) -> None:
    """Add a tokenizer, its control tokens and its chat template to a file's metadata.

    The embeddings have `rows`, a token each.

    Raises:
        UserError: llama.cpp has no such tokenizer.
    """
    tokenizer = chat.tokenizer
    read_vocabulary(json.loads(tokenizer.backend_tokenizer.to_str()), rows).write(writer)
    writer.add_eos_token_id(chat.end_of_answer)
    if others := sorted(chat.stop_ids - {chat.end_of_answer}):
        writer.add_eot_token_id(others[0])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    template = tokenizer.get_chat_template()
    # Where the template writes it, llama.cpp would have two.
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)


def read_vocabulary(tokenizer: Mapping[str, Any], rows: int) -> Vocabulary:
    """Read the content of a tokenizer.json.

    Raises:
        UserError: llama.cpp has no such tokenizer.
    """
    model = tokenizer["model"]
    if model["type"] != "BPE":
        raise UserError(f"The tokenizer is a {model['type']} model; GGUF export knows BPE.")
    ids: dict[int, str] = {i: token for token, i in model["vocab"].items()}
    added = {entry["id"]: entry for entry in tokenizer["added_tokens"]}
    ids |= {i: entry["content"] for i, entry in added.items()}
    if max(ids) >= rows:
        raise UserError(
            f"The tokenizer has {max(ids) + 1} tokens and the model {rows} embeddings: the model "
            "cannot be asked with it."
        )
    tokens = tuple(ids.get(i, f"[PAD{i}]") for i in range(rows))
    types = tuple(_type_of(i, ids, added) for i in range(rows))
    merges = [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]
    if not model.get("byte_fallback"):
        return Vocabulary("gpt2", _name_of_split(tokenizer), tokens, types, tuple(merges))
    return _sentencepiece(tokenizer, tokens, types, merges)


def _sentencepiece(
    tokenizer: Mapping[str, Any],
    tokens: Sequence[str],
    types: Sequence[TokenType],
    merges: Sequence[str],
) -> Vocabulary:
    """SentencePiece's BPE, which tokenizer.json has as merges and GGUF as scores."""
    ranks: dict[str, int] = {}
    for rank, pair in enumerate(merges):
        ranks.setdefault(pair.replace(" ", "", 1), rank)
    steps = _flat(tokenizer.get("normalizer"))
    kinds = [step["type"] for step in steps]
    spaces = [step for step in steps if step["type"] == "Replace"]
    if not spaces or spaces[-1]["content"] != _SPACE or set(kinds) - {"Replace", "Prepend"}:
        raise UserError(f"GGUF export does not know this tokenizer's normalizer: {kinds}.")
    return Vocabulary(
        "llama",
        "default",
        tuple(
            token.replace(_SPACE, " ") if kind is TokenType.USER_DEFINED else token
            for token, kind in zip(tokens, types, strict=True)
        ),
        tuple(
            TokenType.BYTE if len(token) == 6 and token.startswith("<0x") else kind
            for token, kind in zip(tokens, types, strict=True)
        ),
        scores=tuple(
            -float(ranks[token]) if token in ranks else _UNREACHED if len(token) > 1 else 0.0
            for token in tokens
        ),
        leading_space="Prepend" in kinds,
    )


def _type_of(i: int, ids: Mapping[int, str], added: Mapping[int, Any]) -> TokenType:
    if i not in ids:
        return TokenType.UNUSED
    if i not in added:
        return TokenType.NORMAL
    return TokenType.CONTROL if added[i]["special"] else TokenType.USER_DEFINED


def _name_of_split(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a byte-level BPE cuts a text before it merges.

    Raises:
        UserError: it has none that is known here.
    """
    normalizers = [step["type"] for step in _flat(tokenizer.get("normalizer"))]
    steps = _flat(tokenizer.get("pre_tokenizer"))
    kinds = [step["type"] for step in steps]
    last = steps[-1] if steps else {}
    if kinds and not set(normalizers) - {"NFC"} and not last.get("add_prefix_space"):
        if kinds == ["ByteLevel"] and last.get("use_regex", True):
            return "gpt-2"
        if kinds == ["Digits", "ByteLevel"] and steps[0]["individual_digits"]:
            return "smollm"
        if kinds == ["Split", "ByteLevel"] and steps[0]["pattern"].get("Regex") in _SPLITS:
            return _SPLITS[steps[0]["pattern"]["Regex"]]
    raise UserError(
        "GGUF export does not know how this tokenizer cuts a text before merges "
        f"({', '.join([*normalizers, *kinds]) or 'nothing'}). It knows those of GPT-2, SmolLM2, "
        "Llama 3, Qwen and Gemma."
    )


def _flat(part: Mapping[str, Any] | None) -> list[Mapping[str, Any]]:
    """The steps of a part of a tokenizer.json, one after the other."""
    if part is None:
        return []
    inner: Iterable[Mapping[str, Any]] | None = part.get("pretokenizers") or part.get("normalizers")
    return [part] if inner is None else [step for one in inner for step in _flat(one)]
