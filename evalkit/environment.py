"""What a result was made with: commit, packages, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from evalkit.errors import UserError
from evalkit.registry import plugin_versions

PACKAGES = (
    "accelerate",
    "bitsandbytes",
    "datasets",
    "evalkit",
    "model2vec",
    "numpy",
    "peft",
    "scikit-learn",
    "scipy",
    "tokenizers",
    "torch",
    "transformers",
    "xllamacpp",
)


def expand(path: str) -> Path:
    """A path whose `~` is the user's home.

    Raises:
        UserError: there is no such home, as of a user without a passwd entry.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise UserError(
            f"{path}: there is no home folder to find it in. Set HOME, or write the whole path "
            "(EVALKIT_CACHE for weights, EVALKIT_SHELF for systems)."
        ) from error


_ROUNDING_FEATURES = (
    *("amx_bf16", "amx_int8", "amx_tile"),
    *("avx", "avx2", "fma", "avx512f", "avx512bw", "avx512_bf16", "avx512_vnni", "avx_vnni"),
    *("asimd", "bf16", "i8mm", "sve", "sve2", "svebf16"),
)
_ROUNDING_VARIABLES = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "MKL_CBWR", "MKL_ENABLE_INSTRUCTIONS"),
    *("ATEN_CPU_CAPABILITY", "ONEDNN_MAX_CPU_ISA", "DNNL_MAX_CPU_ISA"),
)


def package_versions() -> dict[str, str]:
    """Installed versions of the packages that can change a result, plugins among them."""
    return {**_versions(), **plugin_versions()}


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


def processor() -> dict[str, str]:
    """What decides how sums are rounded on this processor, and with it near-ties.

    The instructions that kernels are chosen by, the number of threads that share a sum, and the
    variables that change either.
    """
    has = _processor_features()
    return {
        "features": " ".join(name for name in _ROUNDING_FEATURES if name in has),
        "cores": str(usable_cores()),
        **{name: os.environ[name] for name in _ROUNDING_VARIABLES if name in os.environ},
    }


@cache
def _processor_features() -> frozenset[str]:
    """The flags that Linux lists; none elsewhere."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    lines = (line.partition(":") for line in text.splitlines())
    listed = (value for key, _, value in lines if key.strip().lower() in ("flags", "features"))
    return frozenset(next(listed, "").split())


def usable_cores() -> int:
    """Cores that this process may use, by which torch chooses its threads."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


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


def is_ignored(path: Path) -> bool | None:
    """Whether git leaves a file alone; None outside a checkout or where git is not installed."""
    try:
        _git(path.absolute().parent, "check-ignore", "--quiet", path.name)
    except subprocess.CalledProcessError as error:
        return False if error.returncode == 1 else None
    except OSError:
        return None
    return True


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(
        ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()
