"""The engine that asks a GGUF file: llama.cpp's own server, as a child of this process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import weakref
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from evalkit.engines.building import EngineKind, EngineOptions
from evalkit.engines.endpoint import EndpointEngine
from evalkit.engines.places import Endpoint, LlamaCpp
from evalkit.engines.server import shown
from evalkit.environment import usable_cores
from evalkit.errors import UserError
from evalkit.records import Completion, Prompt, Request, Unanswered
from evalkit.systems import System, check_complete

PACKAGE = "xllamacpp"
NOT_HERE = "GGUF files are run by llama.cpp: pip install 'pytest-evalkit[gguf]'."


class LlamaCppEngine:
    """Greedy answers of a GGUF file."""

    def __init__(self, place: LlamaCpp, folder: Path) -> None:
        """Start the server of a file beside a system.toml."""
        self.place = place
        self.file = folder / place.file
        self._process, self._log, url = _start(self.file, place)
        self._stop = weakref.finalize(self, _end, self._process)
        body: dict[str, object] = {"chat_template_kwargs": {"enable_thinking": False}}
        if place.grammar:
            body["grammar"] = (folder / place.grammar).read_text(encoding="utf-8")
        # The server is on this machine and has nothing else to do.
        self._asking = EndpointEngine(
            Endpoint(
                url=f"{url}/v1",
                model=place.file,
                concurrency=place.parallel,
                timeout=600,
                retries=0,
                system_role=place.system_role,
                body=body,
            )
        )

    def complete(
        self, requests: Sequence[Request]
    ) -> Iterator[tuple[str, Completion | Unanswered]]:
        """Yield answers as they come.

        Where the server dies, what is left is yielded as `Unanswered` and says so.

        Raises:
            UserError: the server refuses a request, such as one longer than its context.
        """
        for name, said in self._asking.complete(requests):
            died = isinstance(said, Unanswered) and self._process.poll() is not None
            yield name, Unanswered(self._obituary()) if died else said

    def describe(self) -> Mapping[str, str | int]:
        """The file, and what runs it."""
        place = self.place
        return {
            "engine": "llamacpp",
            "file": place.file,
            "served": self._asking.describe()["served"],
            "context": place.context,
            "parallel": place.parallel,
            "system_role": int(place.system_role),
            PACKAGE: version(PACKAGE),
            "decoding": "constrained" if place.grammar else "free",
        }

    def prompt_sha256(self, prompt: Prompt) -> str:
        """Hash the messages; the template in the file lays them out."""
        return self._asking.prompt_sha256(prompt)

    def _obituary(self) -> str:
        return f"llama.cpp ended with exit code {self._process.poll()}: {_last_words(self._log)}"


def _build(system: System, options: EngineOptions) -> LlamaCppEngine:
    check_complete(system)
    decoding = options.decoding or system.config.decoding
    if decoding != "free":
        raise UserError(
            f"Decoding '{decoding}' is not evalkit's to do in llama.cpp. Name a GBNF file with "
            "`grammar` in [llamacpp]: `evalkit grammar TASK` prints it."
        )
    check_installed()
    assert system.config.llamacpp is not None
    return LlamaCppEngine(system.config.llamacpp, system.folder)


def check_installed() -> None:
    """Look for llama.cpp.

    Raises:
        UserError: it is not installed.
    """
    try:
        version(PACKAGE)
    except PackageNotFoundError as error:
        raise UserError(NOT_HERE) from error


def _start(file: Path, place: LlamaCpp) -> tuple[subprocess.Popen[str], IO[bytes], str]:
    """Start the server; returns its process, what it logs, and its address."""
    asked = {
        "file": str(file.absolute()),
        "name": file.name,
        "context": place.context,
        "parallel": place.parallel,
        "threads": int(os.environ.get("OMP_NUM_THREADS") or usable_cores()),
    }
    log = TemporaryFile()  # noqa: SIM115 (it is read when the process has died)
    process = subprocess.Popen(
        [sys.executable, "-m", "evalkit.engines.llamacpp_server", json.dumps(asked)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=log,
        text=True,
    )
    assert process.stdout is not None
    # The line comes once the model is loaded; where the process ends, the stream does.
    url = process.stdout.readline().strip()
    if not url:
        code = process.wait()
        raise UserError(
            f"llama.cpp cannot run {file.name} (exit code {code}): {_last_words(log)}. Export it "
            "again, or try it with llama-server to see more."
        )
    return process, log, url


def _end(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def _last_words(log: IO[bytes]) -> str:
    """The last line in which llama.cpp speaks of an error."""
    log.seek(0)
    lines = log.read().decode(errors="replace").splitlines()
    telling = [line for line in lines if "error" in line.lower()]
    return shown((telling or ["it speaks of no error"])[-1])


ENGINE = EngineKind(_build, is_language_model=True)
