"""Which type each tensor of a GGUF is stored in, and the numbers in it."""

from __future__ import annotations

import ctypes
from functools import cache
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from gguf import GGMLQuantizationType as Type
from gguf import LlamaFileType
from gguf.constants import GGML_QUANT_SIZES
from gguf.quants import quantize

from evalkit.errors import UserError

Quantization = Literal["F16", "Q8_0", "Q4_K_M"]
FILE_TYPES: dict[Quantization, LlamaFileType] = {
    "F16": LlamaFileType.MOSTLY_F16,
    "Q8_0": LlamaFileType.MOSTLY_Q8_0,
    "Q4_K_M": LlamaFileType.MOSTLY_Q4_K_M,
}
_OF_GGML = (Type.Q4_K, Type.Q6_K)
"""What gguf can read and not write."""
_NARROW = {Type.Q4_K: Type.Q5_0, Type.Q6_K: Type.Q8_0, Type.Q5_0: Type.F16, Type.Q8_0: Type.F16}
"""What a tensor is stored in whose rows are not a whole number of blocks, as in llama.cpp."""


def choose_type(
    name: str, shape: tuple[int, ...], wanted: Quantization, layers: int, *, tied: bool
) -> Type:
    """The type of a tensor. Norms, biases and the like stay in fp32.

    Q4_K_M is llama.cpp's mixture of that name: six bits for the output, and for the values and
    the way down in the first and last eighth of the layers and every third between.
    """
    if len(shape) < 2:
        return Type.F32
    chosen = {"F16": Type.F16, "Q8_0": Type.Q8_0, "Q4_K_M": Type.Q4_K}[wanted]
    if wanted == "Q4_K_M" and _wants_more(name, layers, tied=tied):
        chosen = Type.Q6_K
    while shape[-1] % GGML_QUANT_SIZES[chosen][0]:
        chosen = _NARROW[chosen]
    return chosen


def _wants_more(name: str, layers: int, *, tied: bool) -> bool:
    if name == "output.weight" or (tied and name == "token_embd.weight"):
        return True
    if not name.endswith(("attn_v.weight", "ffn_down.weight")):
        return False
    layer, eighth = int(name.split(".")[1]), layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def store(array: npt.NDArray[np.float32], kind: Type) -> npt.NDArray[Any]:
    """A tensor's numbers in a type.

    Raises:
        UserError: llama.cpp's quantiser is needed and not installed.
    """
    return _by_ggml(array, kind) if kind in _OF_GGML else quantize(array, kind)


def _by_ggml(array: npt.NDArray[np.float32], kind: Type) -> npt.NDArray[np.uint8]:
    block, size = GGML_QUANT_SIZES[kind]
    columns = array.shape[-1]
    rows = array.size // columns
    stored = np.empty((*array.shape[:-1], columns // block * size), np.uint8)
    pointer = ctypes.POINTER(ctypes.c_float)
    written = _quantizer()(
        int(kind), array.ctypes.data_as(pointer), stored.ctypes.data, 0, rows, columns, None
    )
    assert written == stored.nbytes
    return stored


@cache
def _quantizer() -> Any:
    """Ggml's `ggml_quantize_chunk`, of the llama.cpp that the extra `gguf` brings."""
    try:
        from xllamacpp import xllamacpp

        found = ctypes.CDLL(xllamacpp.__file__).ggml_quantize_chunk
    except (ImportError, OSError, AttributeError) as error:
        raise UserError(
            "Q4_K_M is made by llama.cpp's own quantiser: pip install 'pytest-evalkit[gguf]'. "
            "Q8_0 and F16 need nothing more."
        ) from error
    found.restype = ctypes.c_size_t
    number = ctypes.c_int64
    pointer = ctypes.POINTER(ctypes.c_float)
    found.argtypes = [ctypes.c_int, pointer, ctypes.c_void_p, number, number, number, pointer]
    return found
