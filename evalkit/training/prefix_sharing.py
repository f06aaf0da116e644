"""Exact prefix sharing: the prompt prefix of a micro-batch is run once, with gradients.

Every row of a micro-batch starts with the same tokens (instructions and label descriptions).
They and the rows' suffixes go through the trunk as one long row, in which every suffix attends
to the prefix and to itself; the output head runs only where a token is to be learned. Loss and
gradients are those of the ordinary loop (tested to a relative 1e-5 in fp32); the same idea as
Prefix Grouper (arXiv 2506.05433).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NotRequired, TypedDict

import torch
from peft.tuners.tuners_utils import BaseTunerLayer
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel
from transformers.modeling_outputs import CausalLMOutputWithPast

from evalkit.engines.chat import common_prefix
from evalkit.engines.generation import soft_cap
from evalkit.engines.prefix_attention import attending_by
from evalkit.errors import UserError
from evalkit.training.head_loss import is_plain, plain_head_divergence, plain_head_loss
from evalkit.training.places import Place
from evalkit.training.shared_attention import NAME, Layout

IGNORED = -100
KEEP = "keep_"
"""How the tensors of a batch of general prompts begin."""


class Row(TypedDict):
    """One tokenised training example."""

    input_ids: list[int]
    """Prompt, answer and end token."""
    prompt_length: int
    weights: NotRequired[list[float]]
    """What each token of the answer counts in the loss; 1 by default."""
    place: NotRequired[Place]
    """Where in the training it stands; dev rows stand nowhere."""


class SharedPrefixCollator:
    """Rows -> one micro-batch whose common prefix stands apart.

    Returns tensors `input_ids` and `labels` (rows x suffix, right-padded; `labels` is -100 on
    prompt and padding), `prefix_ids` (prefix length) and, where the rows have weights,
    `weights` (as `labels`, 0 where nothing is learned). `input_ids` comes first because
    Trainer reads the batch size from the first tensor. One prompt token at least stays in the
    suffix: the first suffix token has no logit of its own.

    Suffixes are padded to a multiple of `multiple` tokens: on a CPU every new shape costs a
    second (kernels are made for it), which is more than a few tokens of padding do.
    """

    def __init__(self, pad_id: int, multiple: int = 1) -> None:
        self.pad_id = pad_id
        self.multiple = multiple

    def __call__(self, rows: Sequence[Row]) -> dict[str, torch.Tensor]:
        """Collate a micro-batch."""
        shared = common_prefix([row["input_ids"] for row in rows])
        shared = min(shared, *(row["prompt_length"] - 1 for row in rows))
        width = max(len(row["input_ids"]) for row in rows) - shared
        width += -width % self.multiple
        input_ids = torch.full((len(rows), width), self.pad_id)
        labels = torch.full((len(rows), width), IGNORED)
        weights = torch.zeros((len(rows), width))
        for index, row in enumerate(rows):
            suffix = torch.tensor(row["input_ids"][shared:])
            input_ids[index, : len(suffix)] = suffix
            answer = row["prompt_length"] - shared
            labels[index, answer : len(suffix)] = suffix[answer:]
            if "weights" in row:
                weights[index, answer : len(suffix)] = torch.tensor(row["weights"])
        prefix_ids = torch.tensor(rows[0]["input_ids"][:shared], dtype=torch.long)
        batch = {"input_ids": input_ids, "labels": labels, "prefix_ids": prefix_ids}
        return batch | {"weights": weights} if "weights" in rows[0] else batch


def divisor_of(batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
    """What a micro-batch's summed loss is divided by: its learned tokens, or their weights."""
    if "weights" in batch:
        return batch["weights"].sum()
    return (batch["labels"][:, 1:] != IGNORED).sum()


def share_prefix(model: PreTrainedModel) -> None:
    """Teach a causal language model's `forward` to take `prefix_ids`.

    The method is replaced on the innermost model and before Trainer wraps it, so that DDP's
    and autocast's own wrappers stay around it (bypassing them diverges without an error).
    Calls without `prefix_ids` go to the model's own forward.

    Raises:
        UserError: the model attends in a way that sharing would change, or activation
            checkpointing is on.
    """
    _refuse_checkpointing(model)
    _check(model)
    ordinary = model.forward

    def forward(
        input_ids: torch.Tensor | None = None,
        labels: torch.Tensor | None = None,
        prefix_ids: torch.Tensor | None = None,
        num_items_in_batch: torch.Tensor | float | None = None,
        weights: torch.Tensor | None = None,
        keep_weight: torch.Tensor | None = None,
        keep_prefix_ids: torch.Tensor | None = None,
        keep_input_ids: torch.Tensor | None = None,
        keep_labels: torch.Tensor | None = None,
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
        loss = shared_prefix_loss(model, prefix_ids, input_ids, labels, num_items_in_batch, weights)
        if keep_weight is not None:
            assert keep_prefix_ids is not None
            assert keep_input_ids is not None
            assert keep_labels is not None
            kept = shared_prefix_divergence(model, keep_prefix_ids, keep_input_ids, keep_labels)
            loss = loss + keep_weight * kept
        return CausalLMOutputWithPast(loss=loss)

    model.forward = forward


def shared_prefix_loss(
    model: PreTrainedModel,
    prefix_ids: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
    divisor: torch.Tensor | float | None = None,
    weights: torch.Tensor | None = None,
) -> torch.Tensor:
    """Mean cross-entropy of the labelled suffix tokens.

    Args:
        model: a causal language model with a `base_model` trunk and an output head.
        prefix_ids: (prefix,) token ids that all rows share; may be empty.
        input_ids: (rows, suffix) token ids, right-padded.
        labels: (rows, suffix) target ids, -100 where nothing is learned.
        divisor: what the sum is divided by; the tokens of this batch, or their weights, by
            default. Trainer gives the sum over all micro-batches of an accumulation step.
        weights: (rows, suffix) what each target counts; 1 by default.

    Raises:
        UserError: activation checkpointing is on.
    """
    # Again at each call: it can be switched on at any time.
    _refuse_checkpointing(model)
    hidden = _suffix_states(model, prefix_ids, input_ids)
    targets = labels[:, 1:]
    learned = targets != IGNORED
    if divisor is None:
        divisor = learned.sum() if weights is None else weights.sum()
    states, counts = hidden[:, :-1][learned], None if weights is None else weights[:, 1:][learned]
    head = model.get_output_embeddings()
    if is_plain(head) and not _caps(model):
        return plain_head_loss(head, states, targets[learned], counts) / divisor
    losses = cross_entropy(_head(model, states).float(), targets[learned], reduction="none")
    return (losses if counts is None else losses * counts).sum() / divisor


def answer_logits(
    model: PreTrainedModel,
    prefix_ids: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits of the labelled suffix tokens, their targets, and the row that each is of.

    Args:
        model: as for `shared_prefix_loss`.
        prefix_ids: (prefix,) token ids that all rows share; may be empty.
        input_ids: (rows, suffix) token ids, right-padded.
        labels: (rows, suffix) target ids, -100 where nothing is learned.
    """
    hidden = _suffix_states(model, prefix_ids, input_ids)
    targets = labels[:, 1:]
    learned = targets != IGNORED
    logits = _head(model, hidden[:, :-1][learned]).float()
    return logits, targets[learned], learned.nonzero()[:, 0]


def shared_prefix_divergence(
    model: PreTrainedModel,
    prefix_ids: torch.Tensor,
    input_ids: torch.Tensor,
    labels: torch.Tensor,
) -> torch.Tensor:
    """Mean KL(base || tuned) at the labelled suffix tokens; the base is the adapter switched off.

    Args:
        model: as for `shared_prefix_loss`, with an adapter in its layers.
        prefix_ids: (prefix,) token ids that all rows share; may be empty.
        input_ids: (rows, suffix) token ids, right-padded.
        labels: (rows, suffix); -100 where nothing is compared.
    """
    _refuse_checkpointing(model)
    learned = labels[:, 1:] != IGNORED
    with torch.no_grad(), adapter_off(model):
        base = _suffix_states(model, prefix_ids, input_ids)[:, :-1][learned]
    tuned = _suffix_states(model, prefix_ids, input_ids)[:, :-1][learned]
    head = model.get_output_embeddings()
    if is_plain(head) and not _caps(model):
        return plain_head_divergence(head, tuned, base) / learned.sum()
    with torch.no_grad(), adapter_off(model):
        log_b = _head(model, base).float().log_softmax(-1)
    log_t = _head(model, tuned).float().log_softmax(-1)
    return (log_b.exp() * (log_b - log_t)).sum() / learned.sum()


@contextmanager
def adapter_off(model: PreTrainedModel) -> Iterator[None]:
    """Let a model answer as its base does."""
    layers = [module for module in model.modules() if isinstance(module, BaseTunerLayer)]
    for layer in layers:
        layer.enable_adapters(False)
    try:
        yield
    finally:
        for layer in layers:
            layer.enable_adapters(True)


def _suffix_states(
    model: PreTrainedModel, prefix_ids: torch.Tensor, input_ids: torch.Tensor
) -> torch.Tensor:
    """The trunk's last hidden states of the suffixes, (rows, suffix, size)."""
    (rows, width), shared = input_ids.shape, len(prefix_ids)
    layout = Layout(shared, rows, width)
    with attending_by(NAME, model.config):
        hidden: torch.Tensor = model.base_model(
            input_ids=torch.cat([prefix_ids, input_ids.flatten()])[None],
            position_ids=layout.positions(input_ids.device)[None],
            use_cache=False,
            layout=layout,
        ).last_hidden_state[0]
    # Padding stands on the right, where causality alone hides it from every real token.
    return hidden[shared:].view(rows, width, -1)


def _head(model: PreTrainedModel, hidden: torch.Tensor) -> torch.Tensor:
    return soft_cap(model.get_output_embeddings()(hidden), model.config.get_text_config())


def _caps(model: PreTrainedModel) -> bool:
    return getattr(model.config.get_text_config(), "final_logit_softcapping", None) is not None


def _check(model: PreTrainedModel) -> None:
    """Compare a few logits with the model's own; they differ by rounding alone.

    An architecture that mixes tokens other than by transformers' attention interface (a
    recurrent layer, say) would train on a wrong loss without an error.
    """
    device = next(model.parameters()).device
    vocabulary = model.config.get_text_config().vocab_size
    rows = (torch.arange(24, device=device).view(2, 12) * 7 + 5) % vocabulary
    rows[:, :5] = rows[0, :5]
    was_training = model.training
    model.eval()
    try:
        shared = _head(model, _suffix_states(model, rows[0, :5], rows[:, 5:]))
        own = [model(input_ids=row[None]).logits[0, 5:] for row in rows]
    except (TypeError, ValueError, RuntimeError, AssertionError) as error:
        raise _cannot_share(model) from error
    finally:
        model.train(was_training)
    expected = torch.stack(own).float()
    difference = float(((shared.float() - expected).norm() / expected.norm()).detach())
    exact = next(model.parameters()).dtype == torch.float32
    if not difference < (1e-3 if exact else 0.1):
        raise _cannot_share(model)


def _cannot_share(model: PreTrainedModel) -> UserError:
    return UserError(
        f"evalkit cannot train {type(model).__name__}: it does not attend by transformers' "
        "attention interface alone, which sharing the prompt's prefix relies on. Llama, Qwen3, "
        "Gemma 3 and Mistral do."
    )


def _refuse_checkpointing(model: PreTrainedModel) -> None:
    # The layers' own flags: the property that sums them up is renamed between versions.
    if any(getattr(module, "gradient_checkpointing", False) for module in model.modules()):
        raise UserError(
            "Prefix sharing and activation (gradient) checkpointing exclude each other: "
            "layers that are computed again for their gradient would attend as if nothing were "
            "shared. Switch checkpointing off."
        )
