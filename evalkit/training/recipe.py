"""The recipe: how an adapter or a baseline is made. The `[recipe]` table of a system.toml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    model_validator,
)

from evalkit.errors import UserError
from evalkit.validation import explain

SEVEN_LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1)]
Size = Annotated[float, Field(gt=0, allow_inf_nan=False)]


def _ascending(lengths: tuple[int, int]) -> tuple[int, int]:
    if lengths[0] > lengths[1]:
        raise ValueError("the shortest length comes first")
    return lengths


Lengths = Annotated[tuple[Count, Count], AfterValidator(_ascending)]


def _check_named(data: object) -> object:
    named = (data,) if isinstance(data, str) else data
    if data is None:
        return data
    if not (isinstance(named, list | tuple) and named and all(isinstance(d, str) for d in named)):
        raise ValueError("a file, a hub data set, or a list of them")
    return data


class _Model(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class LoraRecipe(_Model):
    """The adapter's shape."""

    r: Count = 8
    """Rank."""
    alpha: Count = 16
    """Scale; updates are multiplied by alpha / r."""
    rslora: bool = False
    """Multiply updates by alpha / sqrt(r) instead."""
    dora: bool = False
    """Learn the magnitude of each weight column apart from its direction (DoRA)."""
    dropout: Share = 0.0
    """Chance of each of the adapter's inputs to be left out in training."""
    targets: Annotated[tuple[str, ...], Field(min_length=1)] = SEVEN_LINEARS
    """Names of the linear layers that are adapted."""


Part = Annotated[float, Field(ge=0, le=1)]


class LabelSpaces(_Model):
    """Other label spaces than the task's, a new one for each micro-batch.

    Against name bias: a model that always sees the same names learns the names, not to read
    the list it is given.
    """

    field: str
    """The field whose values change."""
    share: Part = 0.5
    """Share of the micro-batches of the task's own values whose list is changed."""
    reorder: bool = True
    """Shuffle the values; not for an ordinal field."""
    drop: Share = 0.0
    """Chance of each value that none of the micro-batch's rows has to be left out."""
    names: dict[str, Annotated[tuple[str, ...], Field(min_length=1)]] = {}
    """Value -> other names for it, one of which may stand in its place."""
    blank_names: tuple[str, ...] = ()
    """Names that say nothing, each of which may stand for any value or distractor. Half of the
    changed lists have no others, so that only the descriptions tell what is meant."""
    distractors: dict[str, str] = {}
    """Further values that are never right, and their descriptions."""
    most_distractors: Count = 2
    """So many distractors join the list at most."""
    topics: str | None = None
    """A TOML file: topic -> its description, names and descriptions."""
    topic_path: str = "topic"
    """Where a row keeps its topic."""
    topic_share: Part = 0.3
    """Share of the rows with a topic that an epoch shows in lists of nothing but topics."""
    beside_share: Part = 0.2
    """Share of the rows with a topic that an epoch shows in lists where one or two topics stand
    beside the task's own values."""
    fewest: Annotated[int, Field(ge=2)] = 2
    """Least number of values in a list of topics."""
    most: Annotated[int, Field(ge=2)] = 8
    """Greatest number of values in a list of topics."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if self.topic_share + self.beside_share > 1:
            raise ValueError("topic_share and beside_share come to more than 1")
        if self.fewest > self.most:
            raise ValueError("fewest is more than most")
        return self


NoiseKind = Literal[
    "case", "width", "spacing", "punctuation", "emoji", "typo", "app-name", "unknown-app"
]


class Noise(_Model):
    """Edits that leave the right label as it is, drawn anew for each row in each epoch."""

    share: Part = 0.3
    """Share of rows that are changed."""
    kinds: Annotated[
        tuple[NoiseKind, ...],
        Field(min_length=1),
    ] = ("case", "width", "spacing", "punctuation", "emoji", "typo", "app-name")
    """Which edits are drawn from."""
    second: Share = 0.2
    """Chance of a changed row to be changed in a second way."""


class Attacks(_Model):
    """Rows with a hidden order or a forged answer; the right label stays."""

    share: Part = 0.1
    """Share of rows, drawn anew in each epoch."""


class Keep(_Model):
    """What the base does with general prompts, kept while the task is learned."""

    data: str
    """JSON lines: `prompt` and `answer`, put as a plain turn of a chat, or `text`."""
    weight: Size = 1.0
    """What KL(base || tuned), the mean over the answers' tokens, counts beside the loss."""
    share: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of micro-batches that have a batch of general prompts beside them."""
    batch_size: Count = 4
    """General prompts in such a batch."""
    tokens: Annotated[int, Field(ge=8)] = 160
    """Longer rows are cut off here."""


class Source(_Model):
    """A file or hub data set that rows are read from."""

    data: str
    """A file, or `hf:owner/name[:split]`."""
    repeat: Count = 1
    """How often each of its rows is seen in an epoch."""
    mapping: str = "auto"
    """The scheme of its labels."""
    rows: Count | None = None
    """Only the first rows; all by default."""


class RowsRecipe(_Model):
    """Which rows are trained on; the same keys for adapters and baselines."""

    data: Annotated[str | tuple[str, ...] | None, BeforeValidator(_check_named)] = None
    """Training rows: a file, or `hf:owner/name[:split]`; or several of them. `--data` stands in
    for it."""
    sources: tuple[Source, ...] = ()
    """Further rows, each source with its own mapping and repeats; `--data` leaves them."""
    rows: Count | None = None
    """Only the first rows of each source in `data`; all by default."""
    deduplicate: bool = True
    """Drop rows whose inputs stand verbatim in an earlier row."""
    dev_rows: Annotated[int, Field(ge=0)] = 0
    """Rows held out of training, to see how it goes on rows not learned."""
    dev_data: str | None = None
    """A file of rows to hold out; training rows that repeat one are dropped."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 0
    """Decides what is drawn: the order of rows, first weights, edits."""

    @model_validator(mode="after")
    def _check_data(self) -> Self:
        if self.data is None and not self.sources:
            raise ValueError('name the rows: data = "FILE" or a table [[recipe.sources]]')
        return self

    @property
    def has_one_source(self) -> bool:
        """Whether all rows come from `data`, and it names one source."""
        named = 1 if isinstance(self.data, str) else len(self.data or ())
        return named == 1 and not self.sources


class EditedRowsRecipe(RowsRecipe):
    """The same, with edits in some rows."""

    noise: Noise | None = None
    """Edits that do not matter, so that they do not change an answer."""
    attacks: Attacks | None = None
    """Orders hidden in texts, so that none is obeyed."""


class Recipe(EditedRowsRecipe):
    """Everything that decides how an adapter comes out."""

    epochs: Size = 3
    """Times that each row is seen; parts of one count."""
    max_steps: Count | None = None
    """Optimiser steps at which training ends, however many epochs that is."""
    batch_size: Count = 16
    """Rows per micro-batch on one device."""
    tokens_per_batch: Count | None = None
    """In place of `batch_size`: a micro-batch takes as many rows of like length as fit in so
    many tokens, the shared prefix counted once."""
    gradient_accumulation: Count = 1
    """Micro-batches to a step of the optimiser."""
    learning_rate: Size = 2e-4
    """The highest that the schedule reaches."""
    schedule: Literal["cosine", "linear", "constant"] = "cosine"
    """How the learning rate goes on after the warm-up."""
    warmup: Share = 0.1
    """Share of the steps over which the learning rate rises."""
    weight_decay: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """How strongly weights are drawn towards 0 (AdamW)."""
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    """`auto` is bf16 where the device computes it fast, and fp32 elsewhere."""
    quantization: Literal["none", "nf4"] = "none"
    """`nf4` trains over 4-bit base weights with double quantisation."""
    optimizer: Literal["adamw", "adamw-8bit"] = "adamw"
    """`adamw-8bit` keeps the optimiser's state in 8 bits (bitsandbytes)."""
    class_weights: Literal["none", "balanced"] = "none"
    """`balanced` lets the tokens of rare values count more in the loss, those of frequent ones
    less."""
    pairs: bool = False
    """Rows that say the same `pair` come into one micro-batch: minimal pairs, whose contrast the
    model must tell."""
    hard_share: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Of each epoch but the first, the share of rows that are seen again because they were wrong,
    or their loss was highest, at the end of the epoch before. They take the places of those with
    the lowest loss."""
    label_weight: Size = 1.0
    """What a token that says a label counts in the loss; punctuation and copied text count 1."""
    early_stopping: Count | None = None
    """Epochs without a better dev loss after which training ends; the best epoch's weights are
    kept. Needs `dev_rows`."""
    report_to: tuple[Literal["tensorboard", "wandb", "mlflow", "trackio"], ...] = ()
    """Where the loss is logged as well."""
    lora: LoraRecipe = LoraRecipe()
    """The adapter's rank and scale, and what it adapts."""
    labels: LabelSpaces | None = None
    """Other lists of values than the task's, so that the list is read."""
    keep: Keep | None = None
    """General prompts, so that the base's behaviour on them stays."""

    @model_validator(mode="before")
    @classmethod
    def _rename(cls, table: Any) -> Any:
        """`labels` was called `augment`."""
        if not isinstance(table, Mapping) or "augment" not in table:
            return table
        if table.get("labels") is not None and table["augment"] is not None:
            raise ValueError("augment is the old name of labels; give one of them")
        return {
            **{key: value for key, value in table.items() if key != "augment"},
            "labels": table.get("labels") or table["augment"],
        }

    @model_validator(mode="after")
    def _check(self) -> Self:
        usual = type(self).model_fields["batch_size"].default
        if self.tokens_per_batch and self.batch_size != usual:
            raise ValueError("give batch_size or tokens_per_batch, not both")
        if self.early_stopping and not (self.dev_rows or self.dev_data):
            raise ValueError("early_stopping watches the loss on dev rows; set dev_rows")
        if self.tokens_per_batch and self.labels and self.labels.topics:
            raise ValueError("lists of topics need batches of a fixed size: give batch_size")
        if self.tokens_per_batch and self.hard_share:
            raise ValueError("hard_share needs batches of a fixed size: give batch_size")
        if self.tokens_per_batch and self.pairs:
            raise ValueError("pairs need batches of a fixed size: give batch_size")
        return self

    @property
    def varies_rows(self) -> bool:
        """Whether micro-batches are other than their rows as they are."""
        return any((self.labels, self.noise, self.attacks, self.keep))

    @property
    def weighs_labels(self) -> bool:
        """Whether some tokens count more in the loss than others."""
        return self.class_weights != "none" or self.label_weight != 1


class TfidfRecipe(EditedRowsRecipe):
    """How a TF-IDF baseline is made. Edited rows stand beside those as they are."""

    words: Lengths = (1, 2)
    """Shortest and longest run of words that is counted."""
    characters: Lengths = (2, 4)
    """Shortest and longest run of characters that is counted, within words."""
    hash_bits: Annotated[int, Field(ge=4, le=22)] = 15
    """Runs of words are counted in 2^hash_bits places, runs of characters in as many."""
    name_weight: Size | None = None
    """What inputs that name something (`app_name`) count apart from the texts, which count 1. Left
    out, they are counted with the texts."""
    c: Size | None = None
    """How closely the regression follows the rows; scikit-learn's C. Where it is left out, each
    field's is chosen by cross-validation on the training rows."""
    class_weight: Literal["none", "balanced"] | None = None
    """`balanced` lets rare values weigh more. Chosen likewise where it is left out."""


BASELINES: Mapping[str, type[RowsRecipe]] = {
    "tfidf": TfidfRecipe,
    "embeddings": TfidfRecipe,
    "majority": RowsRecipe,
}
"""Engine -> the recipe of its baseline; all others train an adapter."""

R = TypeVar("R", bound=BaseModel)


def read_recipe(table: Mapping[str, Any], where: str) -> Recipe:
    """Validate the `[recipe]` table of a system with an adapter.

    Raises:
        UserError: naming `where`, the key and the fault.
    """
    return _read(Recipe, table, where)


def read_baseline_recipe(engine: str, table: Mapping[str, Any], where: str) -> RowsRecipe:
    """Validate the `[recipe]` table of a baseline: a `TfidfRecipe`, or rows alone.

    Raises:
        UserError: naming `where`, the key and the fault.
    """
    return _read(BASELINES[engine], table, where)


def _read(model: type[R], table: Mapping[str, Any], where: str) -> R:
    try:
        return model.model_validate(table)
    except ValidationError as error:
        raise UserError(f"{where}, [recipe]: {explain(error, model)}") from error
