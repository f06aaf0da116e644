"""The door for pytest: it opens in a project that uses evalkit, and is a wall in any other.

Being installed is not being used: options such as `--model` and `--device`, fixtures and hooks
(`plugin.py`) are registered only where a project says so, and no other project's own are in their
way.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Generator, Iterator, Sequence
from pathlib import Path

import pytest

_NAMES = ("evalkit", "evalkit.pytest_plugin")
"""What this package is registered as: by its entry point, by `-p`."""
_PLUGIN = "evalkit-plugin"
OPTIONS = (
    *("--model", "--run", "--data", "--split", "--limit", "--on-bad-row", "--mapping", "--against"),
    *("--track", "--runs", "--gates", "--gate-mode", "--decoding", "--fresh", "--device"),
    *("--precision", "--batch-size"),
)
"""Those of `plugin.py`, for whoever gives one where they are not registered, or misspells it."""


def pytest_addoption(parser: pytest.Parser, pluginmanager: pytest.PytestPluginManager) -> None:
    """Let a project say whether it uses evalkit, and open the door later."""
    parser.addini(
        "evalkit",
        "whether this project uses evalkit; by default, whether it has a gates.toml",
        type="bool",
        default=None,
    )
    # Under the name that is free, so that `-p` and the entry point do not meet twice.
    free = next(name for name in _NAMES if not pluginmanager.has_plugin(name))
    pluginmanager.register(_Door(), free)


class _Door:
    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_load_initial_conftests(
        self, early_config: pytest.Config, parser: pytest.Parser, args: list[str]
    ) -> Generator[None, object, object]:
        """Register the plugin where it is used, once all others have their options."""
        is_used = _is_used(early_config)
        try:
            if is_used:
                _open(early_config, parser, args)
            result = yield
        except KeyboardInterrupt:  # pytest catches it from when it is configured
            if is_used:
                _tell_interrupted()
                raise SystemExit(pytest.ExitCode.INTERRUPTED) from None
            raise
        except SystemExit as stop:  # pytest itself would end with its code, be that 0
            if is_used:
                raise pytest.UsageError(
                    f"A conftest.py ended the session ({stop!r}) before anything was judged."
                ) from None
            raise
        _, unknown = parser.parse_known_and_unknown_args(args, copy.copy(early_config.option))
        if hint := _hint([argument.partition("=")[0] for argument in unknown], is_used):
            parser.extra_info["evalkit"] = hint  # shown below the usage error that is to come
        return result

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_cmdline_main(self, config: pytest.Config) -> Generator[None, object, object]:
        """Say that it was interrupted, where pytest's own reporter is not there yet to say so."""
        code = yield
        has = config.pluginmanager.has_plugin
        if code == pytest.ExitCode.INTERRUPTED and has(_PLUGIN) and not has("terminalreporter"):
            _tell_interrupted()
        return code


def _tell_interrupted() -> None:
    sys.stderr.write("\ninterrupted before anything was asked\n")


def _hint(unknown: Sequence[str], is_used: bool) -> str:
    """What helps whoever gave options that nothing has registered; empty for none."""
    from evalkit.errors import did_you_mean

    if is_used:
        return next(filter(None, (did_you_mean(name, OPTIONS).strip() for name in unknown)), "")
    if ours := next((name for name in unknown if name in OPTIONS), ""):
        return (
            f"{ours} is an option of the release gate, which is not in use: no gates.toml lies "
            "beside or above what is to run, or the project says `evalkit = false`. "
            "`evalkit init` writes one, --gates FILE names one."
        )
    return ""


def _open(config: pytest.Config, parser: pytest.Parser, args: list[str]) -> None:
    from evalkit.pytest_plugin import plugin

    config.pluginmanager.register(plugin, _PLUGIN)
    known = parser.parse_known_args(args, namespace=copy.copy(config.option))
    known.confcutdir = config.known_args_namespace.confcutdir
    config.known_args_namespace = known


def _is_used(config: pytest.Config) -> bool:
    if not set(_NAMES).isdisjoint(config.known_args_namespace.plugins):
        return True
    said: bool | None = config.getini("evalkit")
    if said is not None:
        return said
    arguments = [str(argument) for argument in config.invocation_params.args]
    named = any(a == "--gates" or a.startswith("--gates=") for a in arguments)
    return named or any(_has_criteria(place) for place in _places(config))


def _has_criteria(place: Path) -> bool:
    try:
        return (place / "gates.toml").is_file()
    except (OSError, ValueError):  # an option's value that is not a path
        return False


def _places(config: pytest.Config) -> Iterator[Path]:
    """Where suites may be: what pytest is to run, with the folders above it, and the project.

    A project ends at its pytest configuration, where it has one.
    """
    # Before options are known, their values are among the arguments.
    given = (*config.known_args_namespace.file_or_dir, *config.getini("testpaths"))
    here = config.invocation_params.dir
    asked = [Path(here, argument.partition("::")[0]).absolute() for argument in given]
    for place in (*asked, config.rootpath):
        yield from (place, place / "suites")
    for folder in (above for place in (*asked, here) for above in (place, *place.parents)):
        if config.inipath is None or folder.is_relative_to(config.rootpath):
            yield folder
