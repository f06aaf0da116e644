"""What a result was made with: commit, packages, machine."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

PACKAGES = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "evalkit",
    "numpy",
    "peft",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result."""
    return dict(_versions())


@cache
def _versions() -> Mapping[str, str]:
    found = {}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def machine() -> dict[str, str]:
    """Processor kind, operating system and Python, without names that identify a host."""
    return {
        "machine": platform.machine(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def peak_memory() -> dict[str, int]:
    """The most memory this process has held so far, in bytes: `process`, and `cuda` if used."""
    found = {}
    try:
        import resource

        # Linux counts in kilobytes, macOS in bytes.
        unit = 1 if sys.platform == "darwin" else 1024
        found["process"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
    except ImportError:  # there is none on Windows
        pass
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        found["cuda"] = int(torch.cuda.max_memory_allocated())
    return found


def commit(folder: Path) -> tuple[str | None, bool | None]:
    """The commit checked out in a folder and whether tracked files differ from it.

    Returns (None, None) outside a git checkout or where git is not installed.
    """
    try:
        head = _git(folder, "rev-parse", "HEAD")
        dirty = bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):
        return None, None
    return head, dirty


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
