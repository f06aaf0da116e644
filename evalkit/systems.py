"""The shelf: one folder per system under test, `adapters/<name>/system.toml`."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

from evalkit.engines.baseline import describe_task
from evalkit.engines.building import ENGINES, EngineKind
from evalkit.engines.places import Cluster, Endpoint, LlamaCpp
from evalkit.environment import expand
from evalkit.errors import UserError, did_you_mean
from evalkit.formats import Format, Normalisation, get_format
from evalkit.locale import Note, say
from evalkit.tasks import Task, load_task, task_names
from evalkit.toml_files import parse_toml
from evalkit.weights import WeightsSource, parse_source
from evalkit.weights.adapters import ADAPTER_FILES, AdapterFiles, pickle_problem
from evalkit.weights.tokenizer_files import tokenizer_notes

FILE = "system.toml"


class SystemConfig(BaseModel):
    """What a system.toml says."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    task: str
    """A built-in task's name, or the path of a task's .toml file beside this one."""
    format: str
    """How answers are written: `json`, `call` or `labels`."""
    thoughts: tuple[tuple[str, str], ...] = ()
    """Pairs of marks around what is not an answer, besides those of docs/formats.md."""
    base: str | None = None
    """Where the base weights come from; absent for baselines that read none."""
    adapter: bool = True
    """Whether a trained adapter belongs to the system; false for a base model as it is."""
    engine: str = "transformers"
    """What writes the answers: a language model in this process (`transformers`), on a cluster
    (`ray`), in llama.cpp (`llamacpp`) or on a server (`endpoint`), a baseline that is trained
    (`tfidf`, `embeddings`, `majority`) or not (`keyword`), a file (`replay`), or an engine that
    another package adds."""
    options: dict[str, Any] = {}
    """For an engine of another package: what it is told."""
    answers: str | None = None
    """For engine `replay`: the file of recorded answers, beside this one."""
    endpoint: Endpoint | None = None
    """For engine `endpoint`: which server, and how it is asked."""
    llamacpp: LlamaCpp | None = None
    """For engine `llamacpp`: which GGUF file, and how it is run."""
    ray: Cluster | None = None
    """For engine `ray`: which cluster, and how many workers."""
    quantization: Literal["none", "nf4"] = "none"
    """How the base weights are held while answering."""
    normalize: Normalisation = "none"
    """What is done to a task's inputs before the model reads them, in training and in use."""
    decoding: Literal["free", "constrained"] = "free"
    """`free`: the model's own choice at every token. `constrained`: the likeliest of the task's
    canonical answers."""
    recipe: dict[str, Any] = {}
    """How the adapter or the baseline is made; read by `evalkit.training`."""
    summary: str = ""
    """One line for tables."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        try:
            kind = self.kind
        except UserError as error:
            raise ValueError(error.message) from error
        loads = kind.reads_weights
        if self.options and self.engine in ENGINES.own:
            raise ValueError("the table [options] goes with an engine of another package")
        if loads and not self.base:
            raise ValueError(f"engine '{self.engine}' needs base = \"hf:OWNER/NAME\" or another")
        if self.base and not loads:
            raise ValueError(f"engine '{self.engine}' reads no weights; leave out `base`")
        if self.normalize != "none" and not kind.is_language_model:
            raise ValueError("normalize is for language models; leave it out")
        if self.engine == "endpoint" and self.endpoint is None:
            raise ValueError("engine 'endpoint' needs a table [endpoint] with `url` and `model`")
        if self.engine == "llamacpp" and self.llamacpp is None:
            raise ValueError("engine 'llamacpp' needs a table [llamacpp] with `file`")
        tables = {"endpoint": self.endpoint, "llamacpp": self.llamacpp, "ray": self.ray}
        for name, table in tables.items():
            if table is not None and self.engine != name:
                raise ValueError(f'the table [{name}] goes with engine = "{name}"')
        if (self.engine == "replay") != (self.answers is not None):
            raise ValueError("engine 'replay' and `answers` go together")
        if self.recipe and (not self.trained_files or self.llamacpp is not None):
            raise ValueError("a [recipe] makes an adapter or a baseline, and this system has none")
        if not all(mark.strip() for pair in self.thoughts for mark in pair):
            raise ValueError(
                'thoughts: an opening and a closing mark each, such as ["<plan>", "</plan>"]'
            )
        if not self.summary.isprintable():
            raise ValueError("summary must be one line of printable text")
        return self

    @property
    def kind(self) -> EngineKind:
        """What kind of engine it names."""
        return ENGINES.find(self.engine)

    @property
    def wants_adapter(self) -> bool:
        """Whether the system needs an adapter to answer."""
        return self.adapter and self.base is not None and not self.kind.is_baseline

    @property
    def trained_elsewhere(self) -> bool:
        """Whether what answers was trained where evalkit cannot see it.

        So are recorded answers, a server's model unless `adapter = false` says that it is a base
        as it is, and weights that lie in the system's own folder: an adapter merged into them
        cannot be seen.
        """
        if self.base is not None and not self.adapter:
            of_its_own = not self.base.startswith(("hf:", "pypi:", "..", "/"))
            return of_its_own and not Path(self.base).is_absolute()
        kind = self.kind
        return kind.trained_elsewhere and (self.adapter or not kind.is_language_model)

    @property
    def trained_files(self) -> tuple[str, ...]:
        """Names of the files that training leaves and answering needs."""
        if self.kind.trained_file:
            return (self.kind.trained_file,)
        if self.llamacpp is not None:
            return tuple(name for name in (self.llamacpp.file, self.llamacpp.grammar) if name)
        return ADAPTER_FILES if self.wants_adapter else ()


@dataclass(frozen=True)
class System:
    """A thing under test, described and not yet loaded."""

    name: str
    folder: Path
    config: SystemConfig
    task: Task
    format: Format
    source: WeightsSource | None
    """Where its base weights come from; None for what reads none."""
    adapter_folder: Path | None
    """Where its adapter is or will be; None where it has none."""

    @property
    def capabilities(self) -> frozenset[str]:
        """What suites and criteria may need of a system.

        `live`: it can be asked something new, and does not only repeat what was recorded.
        `language_model`: it reads the prompt. `adapter`: it has one, on a base that can be
        asked without it. `free_decoding`: it could have written anything.
        """
        config = self.config
        has = {
            "live": config.kind.is_live,
            "language_model": config.kind.is_language_model,
            "adapter": config.engine == "transformers" and self.adapter_folder is not None,
            "free_decoding": config.decoding == "free"
            and not (config.endpoint and config.endpoint.is_constrained)
            and not (config.llamacpp and config.llamacpp.grammar),
        }
        return frozenset(name for name, here in has.items() if here)

    @property
    def is_baseline(self) -> bool:
        """Whether it answers without a language model, to hold one against."""
        return self.config.kind.is_baseline

    @property
    def trained_files(self) -> tuple[Path, ...]:
        """The files that its training leaves and that decide its answers.

        None for a system that is not trained; here only once it has been.
        """
        return tuple(self.folder / name for name in self.config.trained_files)

    @property
    def is_trained(self) -> bool:
        """Whether all of `trained_files` are here."""
        return all(path.is_file() for path in self.trained_files)

    def with_task(self, task: Task) -> System:
        """The same system, asked for a variant of its task.

        Raises:
            UserError: its format cannot write the variant's answers.
        """
        return replace(
            self,
            task=task,
            format=get_format(
                self.config.format, task, self.config.thoughts, self.config.normalize
            ),
        )

    @property
    def argument(self) -> str:
        """What `--model` takes for this system: its name, or its path off the shelf."""
        on_shelf = self.folder.absolute().parent == _default_shelf()
        return self.name if on_shelf else shown_path(self.folder)


@dataclass(frozen=True)
class BrokenSystem:
    """A folder on the shelf that cannot be used, and why."""

    name: str
    folder: Path
    problem: str


def find_shelf() -> Path:
    """Find the shelf: `$EVALKIT_SHELF`, or the nearest `adapters/` that holds systems.

    Looked for in the working directory and then upwards, as there may be folders of that name
    that have nothing to do with evalkit.

    Raises:
        UserError: there is none.
    """
    shelf = _default_shelf()
    if shelf is None:
        raise UserError(
            "There is no adapters/ folder here or above. Change to the project's folder, set "
            "EVALKIT_SHELF, or give the path of a system's folder. `evalkit init DIR` writes a "
            "project to start from."
        )
    if not shelf.is_dir():
        raise UserError(f"EVALKIT_SHELF names {shelf}, which is not a folder.")
    return shelf


def only_system() -> System:
    """Load the project's only system; baselines do not count beside one that is none.

    Raises:
        UserError: there are several, or none; or it has a fault.
    """
    shelf = find_shelf()
    found = list_systems(shelf)
    models = [one for one in found if not (isinstance(one, System) and one.is_baseline)]
    candidates = models or found
    if len(candidates) == 1:
        return _load(candidates[0].folder)
    if not candidates:
        raise UserError(
            f"There is no system in {shown_path(shelf)}/. `evalkit init DIR` writes a project with "
            "one; docs/your-own-model.md says what its system.toml holds."
        )
    names = ", ".join(one.name for one in candidates[:8])
    more = f" and {len(candidates) - 8} more" if len(candidates) > 8 else ""
    raise UserError(f"Which system? There are {names}{more}. `evalkit systems` lists them.")


def load_system(name_or_path: str | Path | None = None, shelf: Path | None = None) -> System:
    """Load a system by its name on the shelf, or by the path of its folder.

    Args:
        name_or_path: a name; a path is what holds a separator or is a system's folder. None for
            the project's only system.
        shelf: the folder of systems; `find_shelf()` by default.

    Raises:
        UserError: there is no such system, or its system.toml has a fault.
    """
    if name_or_path is None:
        return only_system()
    text = os.fspath(name_or_path)
    if isinstance(name_or_path, Path) or "/" in text or os.sep in text or text in (".", ".."):
        path = expand(text)
        return _load(path.parent if path.name == FILE else path)
    for place in (shelf or _default_shelf(), Path()):
        if text and place and os.path.isfile(place / text / FILE):  # noqa: PTH113 (as below)
            return _load(place / text)
    shelf = shelf or find_shelf()
    if text in _names(shelf):  # an adapter without a system.toml
        return _load(shelf / text)
    raise UserError(
        f"There is no system '{text}' in {shown_path(shelf)}/.{did_you_mean(text, _names(shelf))} "
        "`evalkit systems` lists them."
    )


def list_systems(shelf: Path | None = None) -> list[System | BrokenSystem]:
    """Load every system on the shelf, by name; a broken one does not hide the others."""
    shelf = shelf or find_shelf()
    found: list[System | BrokenSystem] = []
    for name in _names(shelf):
        try:
            found.append(_load(shelf / name))
        except UserError as error:
            found.append(BrokenSystem(name, shelf / name, str(error)))
    return found


def find_baseline(
    task: Task,
    *,
    engine: str = "tfidf",
    beside: System | None = None,
    rows: str | None = None,
) -> System | None:
    """Find the baseline of a task, trained or not.

    Words of a prompt make no difference to it; inputs, fields and values do. It is the one trained
    on the rows of the system under test, where there is one, so that the comparison is of models
    and not of rows; otherwise the first by name.

    Args:
        task: what the system under test is asked.
        engine: what the baseline's system.toml names as its engine.
        beside: the system under test; its neighbours are looked at before the shelf.
        rows: the hash of the rows that it was trained on; by default what `beside` says.
    """
    places = [beside.folder.absolute().parent] if beside else []
    found = [
        system
        for place in (*places, _default_shelf())
        for system in (list_systems(place) if place and place.is_dir() else ())
        if isinstance(system, System)
        and system.config.engine == engine
        and describe_task(system.task) == describe_task(task)
    ]
    rows = rows or (_rows_of(beside) if beside else None)
    same = [system for system in found if rows and _rows_of(system) == rows]
    return next(iter(same or found), None)


def _rows_of(system: System) -> str | None:
    """The hash of the rows that a system was trained on, as far as it says so."""
    try:
        provenance = json.loads((system.folder / "provenance.json").read_text(encoding="utf-8"))
        return str(provenance["data_sha256"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def missing_parts(system: System) -> list[str]:
    """Say what has to be fetched or trained before the system can answer, and how."""
    parts = []
    recorded = system.config.answers
    if recorded and not (system.folder / recorded).is_file():
        parts.append(f"The recorded answers {shown_path(system.folder / recorded)} are not here.")
    if system.source and not system.source.locate():
        parts.append(system.source.absence(f"evalkit fetch {system.argument}"))
    if system.config.llamacpp is not None:
        parts += [f"{shown_path(p)} is not here." for p in system.trained_files if not p.is_file()]
    elif system.adapter_folder and (problem := pickle_problem(system.adapter_folder)):
        parts.append(f"{shown_path(system.folder)}/ {problem}")
    elif lacking := [path.name for path in system.trained_files if not path.is_file()]:
        what = "baseline" if system.is_baseline else "adapter"
        recipe = "" if system.config.recipe else f"with a [recipe] in its {FILE} "
        parts.append(
            f"The {what} has not been trained ({shown_path(system.folder)}/ lacks "
            f"{' and '.join(lacking)}): {recipe}`evalkit train {system.argument}` makes it."
        )
    elif system.adapter_folder and (refusal := AdapterFiles(system.adapter_folder).refusal):
        parts.append(refusal)
    return parts


def check_complete(system: System) -> None:
    """Say what is missing before anything is loaded.

    Raises:
        UserError: weights or adapter are not here.
    """
    if missing := missing_parts(system):
        raise UserError(f"{system.name} cannot run yet.\n" + "\n".join(missing))


def adapter_notes(system: System) -> list[Note]:
    """What a reader of the verdict has to know of an adapter that was trained elsewhere."""
    if system.adapter_folder is None or not system.config.base:
        return []
    notes = []
    trained_on = AdapterFiles(system.adapter_folder).trained_on
    if trained_on and _model_name(trained_on) != _model_name(system.config.base):
        notes.append(say("note.other_base", noted=trained_on, base=system.config.base))
    base = system.source.locate() if system.source else None
    notes += tokenizer_notes(system.adapter_folder, base)
    return notes


def _load(folder: Path) -> System:
    if not os.path.isdir(folder):  # noqa: PTH112 (pathlib's raises where a name is too long)
        raise UserError(f"There is no folder {folder}. Give a system's name or its folder.")
    if not (folder / FILE).is_file():
        raise UserError(_no_file(folder))
    try:
        config = parse_toml(SystemConfig, folder / FILE)
    except OSError as error:
        raise UserError(f"{folder / FILE} cannot be read: {error.strerror}.") from error
    try:
        task = load_task(config.task, beside=folder)
        answer_format = get_format(config.format, task, config.thoughts, config.normalize)
        source = parse_source(config.base, beside=folder) if config.base else None
    except UserError as error:
        raise UserError(f"{folder / FILE}: {error}") from error
    return System(
        name=folder.absolute().name,
        folder=folder,
        config=config,
        task=task,
        format=answer_format,
        source=source,
        adapter_folder=folder if config.wants_adapter else None,
    )


def _no_file(folder: Path) -> str:
    if not (folder / ADAPTER_FILES[0]).is_file():
        return f"{folder} holds no {FILE}, so it is not a system."
    return (
        f"{folder} holds an adapter and no {FILE}. Write one with these lines "
        f"(tasks: {', '.join(task_names())}; or a .toml file of your own):\n"
        '  task = "notifications-3level"\n'
        '  format = "json"\n'
        f"  base = {json.dumps(_trained_on(folder))}"
    )


def _trained_on(folder: Path) -> str:
    """The base that peft noted in an adapter's config, as `base =` would name it."""
    base = AdapterFiles(folder).trained_on
    if not base:
        return "hf:OWNER/NAME"
    is_path = base[0] in ".~" or "\\" in base or Path(base).is_absolute()
    return base if is_path else f"hf:{base}"


def _model_name(base: str) -> str:
    """What is left of a model's name or path where it is written in different ways."""
    plain = re.sub(r"^hf:|[@#].*$", "", base.rstrip("/\\"))
    if in_cache := re.search(r"models--([^/\\]+)", plain):
        plain = in_cache[1].replace("--", "/")
    return re.split(r"[/\\]", plain)[-1].lower()


def _default_shelf() -> Path | None:
    if named := os.environ.get("EVALKIT_SHELF"):
        return expand(named).absolute()
    here = Path.cwd()
    shelves = [p / "adapters" for p in (here, *here.parents) if (p / "adapters").is_dir()]
    used = [shelf for shelf in shelves if any(shelf.glob(f"*/{FILE}"))]
    return next(iter(used or shelves), None)


def _names(shelf: Path) -> list[str]:
    marks = (FILE, ADAPTER_FILES[0])
    return sorted({path.parent.name for mark in marks for path in shelf.glob(f"*/{mark}")})


def shown_path(path: Path) -> str:
    """Write a path as the user would: relative where it lies below the working directory."""
    path = path.absolute()
    return str(path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path)
