"""Exact prefix sharing: the prompt prefix of a micro-batch is run once, with gradients.

Every row of a micro-batch starts with the same tokens (instructions and label descriptions).
They go through the trunk once; the rows' suffixes attend to their keys and values; the output
head runs only where a token is to be learned. Loss and gradients are those of the ordinary
loop (tested to a relative 1e-5 in fp32); the same idea as Prefix Grouper (arXiv 2506.05433).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypedDict

import torch
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from evalkit.engines.chat import common_prefix
from evalkit.errors import UserError
from evalkit.training.shared_attention import Layout, sharing

IGNORED = -100


class Row(TypedDict):
    """One tokenised training example."""

    input_ids: list[int]
    """Prompt, answer and end token."""
    prompt_length: int


class SharedPrefixCollator:
    """Rows -> one micro-batch whose common prefix stands apart.

    Returns tensors `input_ids` and `labels` (rows x suffix, right-padded; `labels` is -100 on
    prompt and padding) and `prefix_ids` (prefix length). `input_ids` comes first because
    Trainer reads the batch size from the first tensor. One prompt token at least stays in the
    suffix: the first suffix token has no logit of its own.
    """

    def __init__(self, pad_id: int) -> None:
        self.pad_id = pad_id

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Collate a micro-batch."""
        shared = common_prefix([row["input_ids"] for row in rows])
        shared = min(shared, *(row["prompt_length"] - 1 for row in rows))
        width = max(len(row["input_ids"]) for row in rows) - shared
        input_ids = torch.full((len(rows), width), self.pad_id)
        labels = torch.full((len(rows), width), IGNORED)
        for index, row in enumerate(rows):
            suffix = torch.tensor(row["input_ids"][shared:])
            input_ids[index, : len(suffix)] = suffix
            answer = row["prompt_length"] - shared
            labels[index, answer : len(suffix)] = suffix[answer:]
        prefix_ids = torch.tensor(rows[0]["input_ids"][:shared], dtype=torch.long)
        return {"input_ids": input_ids, "labels": labels, "prefix_ids": prefix_ids}


def share_prefix(model: PreTrainedModel) -> None:
    """Teach a causal language model's `forward` to take `prefix_ids`.

    The method is replaced on the innermost model and before Trainer wraps it, so that DDP's
    and autocast's own wrappers stay around it (bypassing them diverges without an error).
    Calls without `prefix_ids` go to the model's own forward.

    Raises:
        UserError: activation checkpointing is on; it drops the prefix's keys silently.
    """
    _refuse_checkpointing(model)
    ordinary = model.forward

    def forward(
        input_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        prefix_ids: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | int | None = None,
        **kwargs: Any,
    ) -> Any:
        if prefix_ids is None:
            return ordinary(
                input_ids=input_ids,
                labels=labels,
                num_items_in_batch=num_items_in_batch,
                **kwargs,
            )
        assert input_ids is not None
        assert labels is not None
        loss = shared_prefix_loss(model, prefix_ids, input_ids, labels, num_items_in_batch)
        return CausalLMOutputWithPast(loss=loss)

    model.forward = forward


def shared_prefix_loss(
    model: PreTrainedModel,
    prefix_ids: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    divisor: torch.Tensor | int | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of the labelled suffix tokens.

    Args:
        model: a causal language model with a `base_model` trunk and an output head.
        prefix_ids: (prefix,) token ids that all rows share; may be empty.
        input_ids: (rows, suffix) token ids, right-padded.
        labels: (rows, suffix) target ids, -100 where nothing is learned.
        divisor: tokens the sum is divided by; those of this batch by default. Trainer gives
            the count over all micro-batches of an accumulation step.

    Raises:
        UserError: activation checkpointing is on.
    """
    # Again at each call: it can be switched on at any time.
    _refuse_checkpointing(model)
    (rows, width), shared = input_ids.shape, len(prefix_ids)
    layout = Layout(shared, rows, width)
    with sharing(model):
        hidden = model.base_model(
            input_ids=torch.cat([prefix_ids, input_ids.flatten()])[None],
            position_ids=layout.positions(input_ids.device)[None],
            use_cache=False,
            layout=layout,
        ).last_hidden_state[0]
    # Padding stands on the right, where causality alone hides it from every real token.
    hidden = hidden[shared:].view(rows, width, -1)
    targets = labels[:, 1:]
    learned = targets != IGNORED
    logits = _head(model, hidden[:, :-1][learned])
    total = cross_entropy(logits.float(), targets[learned], reduction="sum")
    return total / (learned.sum() if divisor is None else divisor)


def _head(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model.get_output_embeddings()(hidden)
    # Gemma caps its logits in the model's forward, which is not called here.
    cap = getattr(model.config.get_text_config(), "final_logit_softcapping", None)
    return logits if cap is None else torch.tanh(logits / cap) * cap


def _refuse_checkpointing(model: PreTrainedModel) -> None:
    # The layers' own flags: the property that sums them up is renamed between versions.
    if any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        raise UserError(
            "Prefix sharing and activation (gradient) checkpointing exclude each other: "
            "checkpointed layers drop the shared keys and the loss is silently wrong. "
            "Switch checkpointing off."
        )
