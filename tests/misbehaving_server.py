"""A server on this machine that does what a test tells it to."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behave = Callable[["Handler", int], None]
"""Answers the n-th POST, counted from 0, through the handler."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Fake  # type: ignore[assignment]

    def do_GET(self) -> None:
        self.server.paths.append(self.path)
        self.server.list_models(self, 0)

    def do_POST(self) -> None:
        self.body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            number = len(self.server.bodies)
            self.server.bodies.append(self.body)
            self.server.keys.append(self.headers.get("Authorization"))
            self.server.paths.append(self.path)
        self.server.behave(self, number)

    def send(self, status: int, content: object, **headers: str) -> None:
        raw = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def say(self, text: str | None, reason: str | None = "stop", **more: Any) -> None:
        """Answer as a server in good order does."""
        message = {"role": "assistant", "content": text, **more.pop("message", {})}
        choice = {"index": 0, "message": message, "finish_reason": reason, **more}
        self.send(200, {"choices": [choice], "usage": {"prompt_tokens": 7}})

    def hang_up(self) -> None:
        """Close the connection, whatever was sent."""
        self.close_connection = True
        self.connection.close()

    def log_message(self, format: str, *args: object) -> None:
        pass


class Fake(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, behave: Behave) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.behave = behave
        self.list_models: Behave = lambda handler, _: handler.send(200, {"data": [{"id": "tiny"}]})
        self.bodies: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.paths: list[str] = []
        self.lock = threading.Lock()
        self.released = threading.Event()
        """Set at the end, so that nothing hangs longer than its test."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # a client that went away is what tests are about


@contextmanager
def serving(behave: Behave) -> Iterator[Fake]:
    with Fake(behave) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
        thread.start()
        try:
            yield server
        finally:
            server.released.set()
            server.shutdown()
            thread.join()
