"""Base weights and adapters, from files into memory."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from evalkit.errors import UserError
from evalkit.weights.adapters import WEIGHTS, AdapterFiles, vocabulary_problem
from evalkit.weights.tokenizer_files import VOCABULARY, brings_tokenizer, chat_template

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

Device = Literal["auto", "cpu", "cuda", "mps"]
Precision = Literal["auto", "fp32", "bf16"]
Quantization = Literal["none", "nf4"]
Decoding = Literal["free", "constrained"]


def choose_device(wanted: Device) -> torch.device:
    """The device asked for, or the best one there is.

    Raises:
        UserError: the device is not on this machine.
    """
    import torch

    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }
    if wanted == "auto":
        return torch.device(next(name for name in ("cuda", "mps", "cpu") if there[name]))
    if not there[wanted]:
        raise UserError(f"There is no {wanted} device on this machine. Use --device auto or cpu.")
    return torch.device(wanted)


def choose_dtype(wanted: Precision, device: torch.device) -> torch.dtype:
    """bf16 where the device computes it fast, fp32 elsewhere."""
    import torch

    if wanted != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16}[wanted]
    if device.type == "cuda":
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        # torch has no public question for this; where the private one is gone, fp32 is safe.
        ask = getattr(torch.cpu, "_is_avx512_bf16_supported", lambda: False)
        fast = device.type == "cpu" and ask()
    return torch.bfloat16 if fast else torch.float32


def load_tokenizer(folder: Path, adapter: Path | None = None) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder of weights, or what an adapter brings in its place.

    Raises:
        UserError: the adapter's tokenizer cannot be loaded.
    """
    if adapter is None or not brings_tokenizer(adapter):
        return _load_tokenizer(folder)
    try:
        own = _load_tokenizer(adapter if (adapter / VOCABULARY).is_file() else folder)
    except Exception as error:  # its libraries raise what they like
        raise UserError(
            f"The tokenizer in {adapter} cannot be loaded: {_cause(error)}. Mend it, or remove its "
            "files if the adapter was trained with its base's."
        ) from error
    own.chat_template = chat_template(adapter) or _load_tokenizer(folder).chat_template
    return own


def _load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(
        folder, local_files_only=True, trust_remote_code=False
    )
    return cast("PreTrainedTokenizerFast", tokenizer)


def quiet_libraries() -> None:
    """Keep notices about optional kernels and the like out of a verdict; errors still show."""
    for name in ("bitsandbytes", "peft"):
        logging.getLogger(name).setLevel(logging.ERROR)


def load_base(
    folder: Path,
    *,
    device: torch.device,
    dtype: torch.dtype,
    quantization: Quantization = "none",
    attention: str = "sdpa",
) -> PreTrainedModel:
    """A causal language model from a local folder of safetensors, in evaluation mode.

    Raises:
        UserError: one of its weights is NaN or infinite.
    """
    quiet_libraries()
    from transformers import AutoModelForCausalLM, BitsAndBytesConfig
    from transformers.utils import logging as transformers_logging

    options: dict[str, object] = {}
    if quantization == "nf4":
        options["quantization_config"] = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            # The default, fp32, has no 4-bit kernels and is slow.
            bnb_4bit_compute_dtype=dtype,
        )
        options["device_map"] = {"": device}
    transformers_logging.disable_progress_bar()
    model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=dtype,
        attn_implementation=attention,
        local_files_only=True,
        trust_remote_code=False,
        use_safetensors=True,
        **options,
    )
    if quantization == "none":
        model.to(device)  # type: ignore[arg-type]
    else:
        keep_nf4_trainable(model)
    _check_finite(dict(model.named_parameters()), f"The base weights in {folder}")
    model.eval()
    return model


def _check_finite(tensors: Mapping[str, torch.Tensor], whose: str) -> None:
    """Refuse weights that are no numbers: what they make of a prompt is none either."""
    import torch

    floats = [name for name, t in tensors.items() if t.is_floating_point() and t.numel()]
    if not floats:
        return
    ends = torch.stack([torch.stack(tensors[name].detach().aminmax()).float() for name in floats])
    bad = (~torch.isfinite(ends).all(dim=1)).tolist()
    if names := [name for name, is_bad in zip(floats, bad, strict=True) if is_bad]:
        raise UserError(
            f"{whose} are not all numbers: {names[0]} holds NaN or infinity"
            + (f", and so do {len(names) - 1} more" if names[1:] else "")
            + ". Nothing that they answer would mean anything; get or train them again."
        )


def keep_nf4_trainable(model: PreTrainedModel) -> None:
    """Stop bitsandbytes from repacking 4-bit weights on AVX512-BF16 processors.

    After one forward in evaluation mode, bitsandbytes 0.50 trains on through kernels without
    gradients; the gradient is then wrong and nothing says so.
    """
    from bitsandbytes.nn.modules import Linear4bit

    for module in model.modules():
        if isinstance(module, Linear4bit):
            module.support_avx512bf16_for_cpu = False


def attach_adapter(model: PreTrainedModel, folder: Path, name: str = "default") -> PreTrainedModel:
    """Put an adapter on a base model, or beside the adapters that are on it.

    Raises:
        UserError: evalkit cannot ask such an adapter, its weights do not fit the base, or one of
            them is NaN or infinite.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

    files = AdapterFiles(folder)
    if files.refusal:
        raise UserError(f"{folder}: {files.refusal}")
    embeddings: Any = model.get_input_embeddings()
    if problem := vocabulary_problem(files, embeddings.weight.shape[0]):
        raise UserError(f"The adapter in {folder} {problem}")
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Found missing adapter keys")
            if isinstance(model, PeftModel):
                adapted = model
                adapted.load_adapter(str(folder), name, use_safetensors=True)
            else:
                adapted = PeftModel.from_pretrained(model, str(folder), name, use_safetensors=True)
        misfit = _misfit(adapted, folder, name)
    except (RuntimeError, ValueError, KeyError, TypeError, SafetensorError) as error:
        raise _does_not_fit(folder, _cause(error)) from error
    if misfit:
        raise _does_not_fit(folder, misfit)
    adapted.eval()
    return adapted  # type: ignore[return-value]


def _misfit(adapted: PeftModel, folder: Path, name: str) -> str | None:
    """Say which weights found no place or are lacking; peft leaves them out and goes on."""
    from peft.utils import get_peft_model_state_dict
    from safetensors.torch import load_file

    brought = load_file(folder / WEIGHTS)
    _check_finite(brought, f"The adapter's weights in {folder}")
    own = get_peft_model_state_dict(adapted, adapter_name=name, save_embedding_layers=False)
    everything = adapted.state_dict()
    if strange := {n for n in brought if n not in own and n not in everything}:
        return f"the base has no place for {len(strange)} of its weights, such as {min(strange)}"
    if lacking := set(own) - set(brought):
        return f"it lacks {len(lacking)} weights that its config asks for, such as {min(lacking)}"
    for foreign in sorted(brought.keys() - own.keys()):
        held = everything[foreign]
        if held.is_floating_point() and not brought[foreign].to(held).equal(held):
            return f"the base ties {foreign} to another of its weights, and the adapter does not"
    return None


def _cause(error: Exception) -> str:
    """The first line of an error that says something (torch's is a heading)."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if not line.startswith("Error(s) in loading")]
    return next(iter(telling), type(error).__name__).rstrip(".:")


def _does_not_fit(folder: Path, why: str) -> UserError:
    return UserError(
        f"The adapter in {folder} does not fit its base weights: {why}. "
        "Train it again, or correct `base` in its system.toml."
    )
