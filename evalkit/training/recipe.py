"""The recipe: how an adapter is made. The `[recipe]` table of a system.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import UserError
from evalkit.toml_files import explain

SEVEN_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LoraRecipe(_Model):
    """The adapter's shape."""

    r: Count = 8
    """Rank."""
    alpha: Count = 16
    """Scale; updates are multiplied by alpha / r."""
    dropout: Share = 0.0
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = SEVEN_LINEARS
    """Names of the linear layers that are adapted."""


class Recipe(_Model):
    """Everything that decides how an adapter comes out."""

    data: str
    """Training rows: a file, or `hf:owner/name[:split]`."""
    rows: Count | None = None
    """Only the first rows of the data; all by default."""
    deduplicate: bool = True
    """Drop rows whose inputs stand verbatim in an earlier row."""
    dev_rows: Annotated[int, Field(ge=0)] = 0
    """Rows held out of training to watch the loss on."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    epochs: Size = 3
    batch_size: Count = 16
    """Rows per step on one device."""
    gradient_accumulation: Count = 1
    learning_rate: Size = 2e-4
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    precision: Literal["bf16", "fp32"] = "bf16"
    quantization: Literal["none", "nf4"] = "none"
    """`nf4` trains over 4-bit base weights with double quantisation."""
    optimizer: Literal["adamw", "adamw-8bit"] = "adamw"
    lora: LoraRecipe = LoraRecipe()


def read_recipe(table: Mapping[str, Any], where: str) -> Recipe:
    """Validate a `[recipe]` table.

    Raises:
        UserError: naming `where`, the key and the fault.
    """
    try:
        return Recipe.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{where}, [recipe]: {explain(error, Recipe)}") from error
