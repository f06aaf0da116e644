"""Which recipes a sweep tries: all combinations of what is listed, or what Optuna asks for."""

from __future__ import annotations

import itertools
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from evalkit.errors import UserError

if TYPE_CHECKING:
    import optuna

Changes = Mapping[str, Any]
"""Recipe key, dots leading into tables -> its value in a trial."""


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers between two, both included."""

    low: float
    high: float
    is_whole: bool
    is_log: bool
    """Whether the draw is even in the logarithm."""


Space = Mapping[str, tuple[Any, ...] | Range]
"""Recipe key -> the values to try."""


def read_space(texts: Sequence[str]) -> dict[str, tuple[Any, ...] | Range]:
    """Read `key=1,2` and `key=1..10` (or `1..10:log`).

    Values are TOML, divided by commas; a text that is not stands for itself.

    Raises:
        UserError: a text is neither, or a key appears twice.
    """
    space: dict[str, tuple[Any, ...] | Range] = {}
    for text in texts:
        key, equals, values = (part.strip() for part in text.partition("="))
        if not equals or not key or not values:
            raise UserError(f"--set takes KEY=VALUE,VALUE or KEY=LOW..HIGH, not '{text}'.")
        if key in space:
            raise UserError(f"--set {key} is given twice. Name all of its values at once.")
        space[key] = _read_range(values) or _read_values(values)
    return space


def _read_values(text: str) -> tuple[Any, ...]:
    try:
        return tuple(tomllib.loads(f"values = [{text}]")["values"])
    except tomllib.TOMLDecodeError:
        return tuple(_read_value(part.strip()) for part in text.split(","))


def _read_value(text: str) -> Any:
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text


def _read_range(text: str) -> Range | None:
    bounds, _, scale = text.partition(":")
    low, dots, high = bounds.partition("..")
    ends = [_read_value(end.strip()) for end in (low, high)]
    if not dots or not all(isinstance(e, int | float) for e in ends) or scale not in ("", "log"):
        return None
    first, last = ends
    if not first < last or (scale and first <= 0):
        raise UserError(
            f"--set {text}: the lower end comes first, and :log is for numbers above 0."
        )
    return Range(first, last, all(isinstance(end, int) for end in ends), bool(scale))


def grid(space: Space) -> Iterator[Changes]:
    """Every combination.

    Raises:
        UserError: there is a range, which has no end of values.
    """
    choices = []
    for key, values in space.items():
        if isinstance(values, Range):
            raise UserError(f"--set {key} is a range: say how many trials to draw with --trials N.")
        choices.append(values)
    yield from (dict(zip(space, drawn, strict=True)) for drawn in itertools.product(*choices))


def search(space: Space, trials: int, seed: int, rate: Callable[[Changes], float | None]) -> None:
    """Let Optuna draw trials, each where those before were best.

    The same seed and the same scores draw the same trials, so a search that was interrupted goes on
    where it was when `rate` remembers its scores.

    Args:
        space: the values to try.
        trials: how many.
        seed: of the sampler.
        rate: makes a trial and returns its score; None where it failed.

    Raises:
        UserError: Optuna is not installed.
    """
    try:
        import optuna
    except ImportError as error:
        raise UserError(
            "--trials draws by Optuna, which is not installed here: "
            "pip install 'pytest-evalkit[sweep]'. Without --trials every combination is tried."
        ) from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(direction="maximize", sampler=optuna.samplers.TPESampler(seed=seed))
    for _ in range(trials):
        trial = study.ask()
        found = rate({key: _draw(trial, key, values) for key, values in space.items()})
        if found is None:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        else:
            study.tell(trial, found)


def _draw(trial: optuna.Trial, key: str, values: tuple[Any, ...] | Range) -> Any:
    if isinstance(values, tuple):
        # Optuna takes numbers and texts alone: the place stands for any value.
        return values[trial.suggest_categorical(key, list(range(len(values))))]
    if values.is_whole:
        return trial.suggest_int(key, int(values.low), int(values.high), log=values.is_log)
    return trial.suggest_float(key, values.low, values.high, log=values.is_log)
