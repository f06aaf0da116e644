"""The recipe: how an adapter or a baseline is made. The `[recipe]` table of a system.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from evalkit.errors import UserError
from evalkit.toml_files import explain

SEVEN_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _ascending(lengths: tuple[int, int]) -> tuple[int, int]:
    if lengths[0] > lengths[1]:
        raise ValueError("the shortest length comes first")
    return lengths


Lengths = Annotated[tuple[Count, Count], AfterValidator(_ascending)]


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


class RowsRecipe(_Model):
    """Which rows are trained on; the same keys for adapters and baselines."""

    data: str
    """Training rows: a file, or `hf:owner/name[:split]`."""
    rows: Count | None = None
    """Only the first rows of the data; all by default."""
    deduplicate: bool = True
    """Drop rows whose inputs stand verbatim in an earlier row."""
    dev_rows: Annotated[int, Field(ge=0)] = 0
    """Rows held out of training, to see how it goes on rows not learned."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0


class Recipe(RowsRecipe):
    """Everything that decides how an adapter comes out."""

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


class TfidfRecipe(RowsRecipe):
    """How a TF-IDF baseline is made."""

    words: Lengths = (1, 2)
    """Shortest and longest run of words that is counted."""
    characters: Lengths = (2, 4)
    """Shortest and longest run of characters that is counted, within words."""
    hash_bits: Annotated[int, Field(ge=4, le=22)] = 15
    """Runs of words are counted in 2^hash_bits places, runs of characters in as many."""
    c: Size = 2.0
    """How closely the regression follows the rows; scikit-learn's C."""
    class_weight: Literal["none", "balanced"] = "none"
    """`balanced` lets rare values weigh more."""


R = TypeVar("R", bound=BaseModel)


def read_recipe(table: Mapping[str, Any], where: str) -> Recipe:
    """Validate the `[recipe]` table of a system with an adapter.

    Raises:
        UserError: naming `where`, the key and the fault.
    """
    return _read(Recipe, table, where)


def read_baseline_recipe(
    engine: Literal["tfidf", "majority"], table: Mapping[str, Any], where: str
) -> RowsRecipe:
    """Validate the `[recipe]` table of a baseline: a `TfidfRecipe`, or rows alone.

    Raises:
        UserError: naming `where`, the key and the fault.
    """
    return _read(TfidfRecipe if engine == "tfidf" else RowsRecipe, table, where)


def _read(model: type[R], table: Mapping[str, Any], where: str) -> R:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{where}, [recipe]: {explain(error, model)}") from error
