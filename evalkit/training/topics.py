"""Topics: what rows are about, from which label spaces of any make are drawn.

A row says its topic; a file says what each topic is called and how it is described.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from evalkit.errors import UserError, did_you_mean
from evalkit.records import Example
from evalkit.toml_files import read_toml
from evalkit.validation import explain

TAG = "topic"
"""The tag of an example that names its topic."""


class Topic(BaseModel):
    """One topic: a value that a list may offer."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    description: Annotated[str, Field(min_length=1)]
    descriptions: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Other wordings, one of which may stand in its place."""
    names: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Other names, one of which may stand in place of its own."""
    near: tuple[str, ...] = ()
    """Topics that a row of this one might as well belong to: never in one list with it."""


Topics = Mapping[str, Topic]
_FILE = TypeAdapter(dict[str, Topic])


def load_topics(path: Path) -> dict[str, Topic]:
    """Read a file of topics: `Name = "description"`, or a table `[Name]`.

    `near` holds in both directions, whichever topic says it.

    Raises:
        UserError: the file cannot be read, or a topic has a fault.
    """
    try:
        content = read_toml(path)
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    return read_topics(content, str(path))


def read_topics(content: Mapping[str, Any], source: str) -> dict[str, Topic]:
    """Read what a file of topics holds.

    Raises:
        UserError: naming `source`, the topic and the fault.
    """
    try:
        topics = _FILE.validate_python({name: _table(said) for name, said in content.items()})
    except ValidationError as error:
        raise UserError(f"{source}: {explain(error)}") from error
    _check_names(topics, source)
    return _both_ways(topics)


def check_rows(examples: Iterable[Example], topics: Topics) -> None:
    """Refuse rows of a topic that is not described.

    Raises:
        UserError: naming the first.
    """
    for example in examples:
        topic = example.tags.get(TAG)
        if topic is not None and topic not in topics:
            raise UserError(
                f"[recipe.labels] topics: row '{example.id}' is of topic '{topic}', which is not "
                f"described.{did_you_mean(topic, topics)}"
            )


def names_of(name: str, topic: Topic) -> tuple[str, ...]:
    """All names of a topic, its own first."""
    return (name, *topic.names)


def _table(said: Any) -> Any:
    return {"description": said} if isinstance(said, str) else said


def _check_names(topics: Topics, source: str) -> None:
    owner: dict[str, str] = {}
    for name, topic in topics.items():
        for called in names_of(name, topic):
            if owner.setdefault(called.casefold(), name) != name:
                raise UserError(
                    f"{source}: '{called}' stands for {owner[called.casefold()]} and {name}."
                )
        for other in topic.near:
            if other not in topics:
                raise UserError(
                    f"{source}: {name}.near: there is no topic '{other}'."
                    f"{did_you_mean(other, topics)}"
                )


def _both_ways(topics: Topics) -> dict[str, Topic]:
    near: dict[str, dict[str, None]] = {name: dict.fromkeys(t.near) for name, t in topics.items()}
    for name, topic in topics.items():
        for other in topic.near:
            near[other][name] = None
    return {
        name: topic.model_copy(update={"near": tuple(near[name])}) for name, topic in topics.items()
    }
