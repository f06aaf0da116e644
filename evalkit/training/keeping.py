"""What the base does with general prompts, kept while an adapter learns a task.

Beside some micro-batches of the task stands one of general prompts. The model reads it twice,
with its adapter and without, and is drawn back by KL(base || tuned) over the answers' tokens:
learning without forgetting (Li and Hoiem, arXiv 1606.09282).
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence

import torch

from evalkit.data.sources import read_source
from evalkit.engines.chat import Chat
from evalkit.errors import UserError
from evalkit.records import Prompt, Span
from evalkit.training.prefix_sharing import KEEP, Row, SharedPrefixCollator
from evalkit.training.recipe import Keep


def read_general_rows(path: str) -> list[dict[str, str]]:
    """Read rows of `prompt` and `answer`, or of `text`.

    Raises:
        UserError: the file cannot be read, or a row has neither.
    """
    found = []
    for row in read_source(path, "train").rows:
        content = row.content or {}
        said = {key: content[key] for key in ("prompt", "answer", "text") if key in content}
        if row.fault or not (set(said) == {"prompt", "answer"} or set(said) == {"text"}):
            what = row.fault or "give `prompt` and `answer`, or `text`."
            raise UserError(f"{row.where}: {what}")
        if not all(isinstance(text, str) and text.strip() for text in said.values()):
            raise UserError(f"{row.where}: {', '.join(said)} must be text, and not empty.")
        found.append({key: str(text) for key, text in said.items()})
    if not found:
        raise UserError(f"{path} holds no rows. Put general prompts with their answers into it.")
    return found


def encode_general_rows(rows: Sequence[Mapping[str, str]], chat: Chat, tokens: int) -> list[Row]:
    """Token ids of general rows, cut to so many tokens; rows with no answer left are left out.

    A prompt is a plain user's turn with nothing of the task before it. A text has no template, and
    all of its tokens count.
    """
    encoded = []
    for row in rows:
        if "text" in row:
            ids = list(chat.tokenizer(row["text"])["input_ids"])
            start = 1
        else:
            ids = chat.encode_prompt(Prompt("", (Span(row["prompt"], trusted=False),)))
            start = len(ids)
            ids += chat.encode_answer(row["answer"])
        if start < min(len(ids), tokens):
            encoded.append(Row(input_ids=ids[:tokens], prompt_length=start))
    return encoded


class KeepBatches:
    """Draws batches of general prompts of like length.

    `weight` is that of the divergence in a micro-batch's loss.
    """

    def __init__(
        self, rows: Sequence[Row], recipe: Keep, collate: SharedPrefixCollator, weight: float
    ) -> None:
        self.rows = sorted(rows, key=lambda row: (len(row["input_ids"]), row["input_ids"]))
        self.recipe = recipe
        self.collate = collate
        self.weight = weight

    def draw(self, draw: random.Random) -> dict[str, torch.Tensor]:
        """A batch's tensors under the names that `forward` takes; none in most micro-batches."""
        return {} if draw.random() >= self.recipe.share else self.batch(draw)

    def batch(self, draw: random.Random) -> dict[str, torch.Tensor]:
        """A batch's tensors."""
        size = min(self.recipe.batch_size, len(self.rows))
        start = draw.randint(0, len(self.rows) - size)
        batch = self.collate(self.rows[start : start + size])
        named = {f"{KEEP}{name}": tensor for name, tensor in batch.items()}
        return {**named, f"{KEEP}weight": torch.tensor(self.weight)}
