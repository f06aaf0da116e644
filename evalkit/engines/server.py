"""Asking a server over HTTP, patiently: tries again what may pass, and says what will not."""

from __future__ import annotations

import json
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import TypeVar

from evalkit.errors import UserError

T = TypeVar("T")

PAUSE = 0.5
"""Seconds before the second try; each later pause is twice as long."""
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 300.0
"""A server that asks for more patience than this (Retry-After) is not waited for."""
MOST_BYTES = 16_000_000
"""More than any answer; an endless one is cut off."""
PASSING = frozenset({408, 425, 429})
"""Statuses below 500 that may be others on the next try."""
_LOOPBACK = frozenset({"localhost", "127.0.0.1", "::1"})
_ADVICE = {
    401: "Name the environment variable that holds the key with api_key_env.",
    403: "Look whether the key named by api_key_env may use this model.",
    404: "Correct `url` (it ends in /v1 on most servers) or `model`.",
    413: "Raise the server's limit, or its context length.",
}


class Trouble(Exception):  # noqa: N818 (what the server is in, not an error of this program)
    """The server did not do what it was asked, and might yet."""

    def __init__(self, why: str, wait: float | None = None) -> None:
        super().__init__(why)
        self.why = why
        self.wait = wait
        """Seconds that the server asks to wait."""


class Refusal(UserError):  # noqa: N818 (what the server says)
    """The server will not do what it was asked, however often."""

    def __init__(self, message: str, status: int, said: str) -> None:
        super().__init__(message)
        self.status = status
        self.said = said


class Server:
    """One server, asked by several threads at once."""

    def __init__(
        self,
        url: str,
        *,
        api_key: str | None,
        timeout: float,
        retries: int,
        connections: int,
        pause: float = PAUSE,
    ) -> None:
        import httpx2

        self.url = url
        self.timeout = timeout
        self.retries = retries
        self.pause = pause
        self._client = httpx2.Client(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(timeout, connect=min(timeout, 10.0), pool=None),
            limits=httpx2.Limits(max_connections=connections),
            # A proxy for the world outside is none for this machine.
            trust_env=httpx2.URL(url).host not in _LOOPBACK,
        )

    def ask(
        self,
        path: str,
        read: Callable[[object], T],
        *,
        body: object = None,
        hurry: threading.Event | None = None,
    ) -> T:
        """Send a request, again while it fails in passing, and read the JSON that comes.

        Args:
            path: behind the server's address; asked with POST where there is a body.
            read: makes something of the decoded JSON; raises `Trouble` where it cannot.
            body: sent as JSON.
            hurry: once set, nothing is tried again.

        Raises:
            Trouble: all tries failed; says how the last one did.
            Refusal: the request itself is at fault.
        """
        hurry = hurry or threading.Event()
        for attempt in range(self.retries + 1):
            try:
                return read(self._fetch(path, body))
            except Trouble as trouble:
                last = trouble
            if (last.wait or 0) > LONGEST_WAIT:
                raise Trouble(f"{last.why}, and asks to wait {last.wait:.0f} s")
            if attempt < self.retries and hurry.wait(self._pause(attempt, last.wait)):
                break
        tries = f"{self.retries + 1} tries" if self.retries else "one try"
        raise Trouble(last.why if hurry.is_set() else f"{last.why} (after {tries})")

    def _pause(self, attempt: int, wait: float | None) -> float:
        """Exponential, with jitter so that threads do not come back all at once."""
        grown = min(LONGEST_PAUSE, self.pause * 2**attempt)
        return max(wait or 0.0, random.uniform(grown / 2, grown))

    def _fetch(self, path: str, body: object) -> object:
        import httpx2

        started = time.monotonic()
        method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
        headers = {"Content-Type": "application/json"} if content else {}
        found = bytearray()
        try:
            with self._client.stream(
                method, f"{self.url}{path}", content=content, headers=headers
            ) as response:
                for chunk in response.iter_bytes():
                    found += chunk
                    if len(found) > MOST_BYTES:
                        raise Trouble("the server sends an answer without end")
                    # The client's own limit is on each read, and a server may send byte by byte.
                    if time.monotonic() - started > self.timeout:
                        raise Trouble(f"no whole answer within {self.timeout:g} s")
        except httpx2.TimeoutException as error:
            raise Trouble(f"no answer within {self.timeout:g} s") from error
        except httpx2.ConnectError as error:
            raise Trouble(f"no connection ({shown(str(error))})") from error
        except httpx2.RequestError as error:
            raise Trouble(f"the connection broke off ({shown(str(error))})") from error
        text = found.decode("utf-8", "replace")
        if not 200 <= response.status_code < 300:
            raise self._fault(response.status_code, response.headers, text)
        try:
            decoded: object = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise Trouble(f"the server's answer is not JSON: {shown(text)!r}") from error
        return decoded

    def _fault(self, status: int, headers: object, text: str) -> Trouble | Refusal:
        said = _message(text)
        what = f"status {status}: {said}" if said else f"status {status}"
        get = headers.get  # type: ignore[attr-defined]
        # llama-cpp-python calls log-probabilities it was not started for an internal error.
        if status in PASSING or (status >= 500 and "logprob" not in said):
            return Trouble(what, _retry_after(get("Retry-After")))
        if 300 <= status < 400:
            place = shown(str(get("Location")))
            return Refusal(
                f"{self.url} leads elsewhere, to {place} ({what}). Give that as `url`.",
                status,
                said,
            )
        advice = _ADVICE.get(status, "Correct the [endpoint] table, or how the server is started.")
        return Refusal(f"{self.url} refuses the request with {what}. {advice}", status, said)


def shown(text: str, most: int = 200) -> str:
    """What a server sent, on one line and fit for a terminal."""
    line = " ".join(text[: 4 * most].split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if len(line) <= most else f"{line[:most]}..."


def _message(text: str) -> str:
    """The message in a server's error, wherever this kind of server puts it."""
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return shown(text)
    while isinstance(found, dict):
        inner = [found[key] for key in ("error", "message", "detail") if found.get(key)]
        if not inner:
            break
        found = inner[0]
    return shown(found if isinstance(found, str) else json.dumps(found)) if found else ""


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from seconds or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
    except ValueError:
        return None
    if date.tzinfo is None:
        date = date.replace(tzinfo=UTC)
    return max(0.0, (date - datetime.now(UTC)).total_seconds())
