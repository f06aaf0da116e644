"""`evalkit serve`: a system behind HTTP, asked and read as the gate does it."""

from __future__ import annotations

from typing import Annotated

import typer

from evalkit.classifier import load
from evalkit.cli.common import AnyName, tell
from evalkit.errors import UserError


def serve(
    name: AnyName = None,
    host: Annotated[str, typer.Option(help="Where it listens; the loopback.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535)] = 8080,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, fp32 or bf16.")] = "auto",
    batch_size: Annotated[int, typer.Option(min=1, help="Most rows of a batch.")] = 16,
) -> None:
    """Answer over HTTP: POST /classify, and OpenAI's /v1/chat/completions.

    For trials, and for engine "endpoint"; there is no authentication.
    """
    for option, given, choices in (
        ("--device", device, ("auto", "cpu", "cuda", "mps")),
        ("--precision", precision, ("auto", "fp32", "bf16")),
    ):
        if given not in choices:
            raise UserError(f"{option} is {', '.join(choices)}, not '{given}'.")
    classifier = load(name, device=device, precision=precision, batch_size=batch_size)  # type: ignore[arg-type]
    from evalkit.serving.app import build_app, run_app

    app = build_app(classifier)
    tell(f"{classifier.system.name} on http://{host}:{port}: /classify, /v1/chat/completions")
    run_app(app, host, port)
