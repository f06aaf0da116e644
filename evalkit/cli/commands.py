"""The commands: their modules, imported when one is called, and their lines in `evalkit --help`."""

from __future__ import annotations

from collections import UserDict
from functools import cache
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup
from typer.main import get_group

_TABLE = {
    "init": "Write a task of your own to start from: rows, two systems, suites and criteria.",
    "systems": "List all systems, and whether their weights and adapters are here.",
    "systems:fetch": "Download a system's base weights; with --verify, check all that are here.",
    "train": "Make a system's adapter, or a baseline, by its recipe.",
    "sweep": "Train with several recipes; say which does best at the gates on dev rows.",
    "export": "Merge a system's adapter into its base, as a model of its own.",
    "predict": "Classify texts with a system, asked and read as the gate does it.",
    "predict:prompt": "Show the whole prompt that a system reads for a text, and its tokens.",
    "serve": "Answer over HTTP: POST /classify, and OpenAI's /v1/chat/completions.",
    "runs:gate": "Judge a stored run again, under the present criteria. Needs no model.",
    "runs:compare": "Compare two runs metric by metric, by paired tests on the same rows.",
    "runs:parity": "Show what changed between runs of one model: quantised, served, in bf16.",
    "show": "Show a run: verdict, gates, confusions, calibration, worst cases, cost, notes.",
    "show:diagnose": "Say what answers a run's failed gates: recipe keys and evidence.",
    "show:errors": "Page through the rows a run got wrong, the most confident first.",
    "show:runs": "List all runs, oldest first: verdict and headline numbers.",
    "report": "Write a run's report, a comparison of several runs, and the index of all runs.",
    "view": "Show all runs in a browser, follow a gate that runs, compare any two.",
    "card": "Write a system's model card for the Hugging Face Hub: what the gates said of it.",
    "proof:attest": "Sign what the gate said of a run, with the hashes of the files it is about.",
    "proof:verify": "Check that these very files passed: exit code 0, or 1 with the reason.",
    "schema:grammar": "Print the grammar of a task's answers, for servers that can enforce one.",
    "schema": "Print the JSON Schema of a kind of TOML file.",
    "runs:baseline": "Baselines: runs that later ones are compared with.",
    "data": "Clean, remap, split and augment rows; find duplicates, overlap, fingerprints.",
    "proof:gates": "Release criteria.",
}
COMMANDS = {place.rpartition(":")[2]: text for place, text in _TABLE.items()}
"""Command -> the first sentence of its help."""
_MODULES = {place.rpartition(":")[2]: place.partition(":")[0] for place in _TABLE}


@cache
def load(name: str) -> Any:
    """A command with its options, or a group of commands."""
    found = getattr(import_module(f"evalkit.cli.{_MODULES[name]}"), name)
    holder = typer.Typer()
    if isinstance(found, typer.Typer):
        holder.add_typer(found, name=name)
    else:
        holder.command()(found)
    return get_group(holder).commands[name]


class _Loaded(UserDict[str, Any]):
    """Commands by name; each is loaded when it is looked up."""

    def __getitem__(self, name: str) -> Any:
        return load(super().__getitem__(name))


class LazyGroup(TyperGroup):
    """Lists commands without importing their modules."""

    def __init__(self, **attrs: Any) -> None:
        super().__init__(**attrs)
        self.commands = _Loaded(zip(COMMANDS, COMMANDS, strict=True))

    def list_commands(self, ctx: Any) -> list[str]:
        """Their names, in the table's order."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """A command's name and help, as lists show them."""
        return TyperCommand(cmd_name, help=COMMANDS[cmd_name]) if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The command that is called, with its options."""
        name, _, rest = super().resolve_command(ctx, args)
        return name, name and load(name), rest
