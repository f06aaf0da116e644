"""Base weights and adapters, from files into memory."""

from __future__ import annotations

import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Literal, cast

from evalkit.errors import UserError

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


def load_tokenizer(folder: Path) -> PreTrainedTokenizerFast:
    """The tokenizer in a folder of weights."""
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
    """A causal language model from a local folder of safetensors, in evaluation mode."""
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
    model.eval()
    return model


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
    """Put a LoRA adapter on a base model, or beside the adapters that are on it.

    Raises:
        UserError: the adapter's weights do not fit the base.
    """
    from peft import PeftModel
    from safetensors import SafetensorError

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
    from safetensors import safe_open

    with safe_open(folder / "adapter_model.safetensors", "pt") as file:
        there = {name for name in file.keys() if "lora_" in name}  # noqa: SIM118  not a mapping
    wanted = get_peft_model_state_dict(adapted, adapter_name=name, save_embedding_layers=False)
    if strange := there - set(wanted):
        return f"the base has no place for {len(strange)} of its weights, such as {min(strange)}"
    if lacking := {name for name in wanted if "lora_" in name} - there:
        return f"it lacks {len(lacking)} weights that its config asks for, such as {min(lacking)}"
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
