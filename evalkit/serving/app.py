"""The server: `/classify`, and OpenAI's `/v1/chat/completions` and `/v1/models`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from evalkit.classifier import Classifier, read_inputs
from evalkit.errors import UserError
from evalkit.records import Unanswered
from evalkit.serving.batching import Batcher, Inputs
from evalkit.serving.messages import inputs_of

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

NOT_HERE = "A server needs a package more: pip install 'pytest-evalkit[serve]'."


def build_app(classifier: Classifier) -> Starlette:
    """Make the ASGI application that answers with a system.

    Raises:
        UserError: the package for it is not installed.
    """
    try:
        from starlette.applications import Starlette
        from starlette.responses import JSONResponse
        from starlette.routing import Route
    except ImportError as error:
        raise UserError(NOT_HERE) from error
    system = classifier.system

    def answer(asked: Sequence[Inputs]) -> Any:
        return list(classifier.complete(asked))

    batcher = Batcher(answer, most=4 * classifier.options.batch_size)

    async def classify(request: Request) -> Response:
        body = await _json(request)
        given = body.get("inputs") if isinstance(body, dict) else None
        if not isinstance(given, list) or not all(isinstance(one, str | dict) for one in given):
            raise UserError('POST {"inputs": [...]}: texts, or objects of texts by their names.')
        said = await batcher.ask([read_inputs(system.task, one) for one in given])
        found = [classifier.classify(one).to_json() for one in said]
        return JSONResponse({"system": system.name, "classifications": found})

    async def chat(request: Request) -> Response:
        (said,) = await batcher.ask([inputs_of(await _json(request), system)])
        if isinstance(said, Unanswered):
            return _error(503, said.why)
        made = len(said.token_ids)
        usage = {"prompt_tokens": said.prompt_tokens, "completion_tokens": made}
        message = {"role": "assistant", "content": said.text}
        return JSONResponse(
            {
                "object": "chat.completion",
                "model": system.name,
                "choices": [
                    {"index": 0, "message": message, "finish_reason": said.finish_reason.value}
                ],
                "usage": usage | {"total_tokens": sum(usage.values())},
            }
        )

    async def models(_: Request) -> Response:
        listed = {"id": system.name, "object": "model", "owned_by": "evalkit"}
        return JSONResponse({"object": "list", "data": [listed]})

    async def refuse(_: Request, error: Exception) -> Response:
        return _error(400, str(error))

    return Starlette(
        routes=[
            Route("/classify", classify, methods=["POST"]),
            Route("/v1/chat/completions", chat, methods=["POST"]),
            Route("/v1/models", models),
        ],
        exception_handlers={UserError: refuse},
    )


def run_app(app: Starlette, host: str, port: int) -> None:
    """Serve until interrupted.

    Raises:
        UserError: the package for it is not installed, or the address cannot be had.
    """
    import socket

    try:
        import uvicorn
    except ImportError as error:
        raise UserError(NOT_HERE) from error
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
    except OSError as error:
        raise UserError(
            f"{host}:{port} cannot be listened on: {error.strerror}. Choose another --port."
        ) from error
    uvicorn.Server(uvicorn.Config(app, log_level="warning")).run(sockets=[listening])


async def _json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except (ValueError, RecursionError) as error:
        raise UserError(f"The request's body is not JSON: {error}") from error


def _error(status: int, message: str) -> Response:
    from starlette.responses import JSONResponse

    return JSONResponse({"error": {"message": message}}, status_code=status)
