"""`evalkit serve`: a system behind HTTP, asked and read as the gate does it."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.classifier import load
from evalkit.cli.common import AnyName, AtPrecision, OnDevice, tell


def serve(
    name: AnyName = None,
    host: Annotated[str, typer.Option(help="Where it listens; the loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
    device: OnDevice = "auto",
    precision: AtPrecision = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows of a batch.")] = 16,
) -> None:
    """Answer over HTTP: POST /classify, and OpenAI's /v1/chat/completions.

    For trials, and for engine "endpoint"; there is no authentication.
    """
    classifier = load(name, device=device, precision=precision, batch_size=batch_size)
    from evalkit.serving.app import build_app, run_app

    app = build_app(classifier)
    tell(f"{classifier.system.name} on http://{host}:{port}: /classify, /v1/chat/completions")
    run_app(app, host, port)
