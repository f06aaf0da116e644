"""Asking a server over HTTP, patiently: tries again what may pass, and says what will not."""

from __future__ import annotations

import asyncio
import json
import os
import random
import threading
import weakref
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cache
from typing import TYPE_CHECKING, TypeVar

from evalkit.errors import UserError

if TYPE_CHECKING:
    import httpx2

T = TypeVar("T")

PAUSE = 0.5
"""Seconds before the second try; each later pause is twice as long."""
LONGEST_PAUSE = 30.0
LONGEST_WAIT = 300.0
"""A server that asks for more patience than this (Retry-After) is not waited for."""
MOST_BYTES = 16_000_000
"""More than any answer; an endless one is cut off."""
SHORTEST_SECRET = 8
"""A shorter key ("EMPTY", "none") keeps no secret, and may be a word of an answer."""
HIDDEN = "[key]"
"""What stands where a server repeats the key."""
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
        self.url = url
        self.timeout = timeout
        self.retries = retries
        self.pause = pause
        self._secret = api_key if api_key and len(api_key) >= SHORTEST_SECRET else None
        self._client = _client(url, api_key, connections)
        self._loop = _loop()
        closing = weakref.finalize(self, _close, self._client, self._loop)
        closing.atexit = False

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
            if last.wait is not None and last.wait > LONGEST_WAIT:
                raise Trouble(f"{last.why}, and asks to wait {_patience(last.wait)}")
            if attempt < self.retries and hurry.wait(self._pause(attempt, last.wait)):
                break
        tries = f"{self.retries + 1} tries" if self.retries else "one try"
        raise Trouble(last.why if hurry.is_set() else f"{last.why} (after {tries})")

    def _pause(self, attempt: int, wait: float | None) -> float:
        """Exponential, with jitter so that threads do not come back all at once."""
        grown = min(LONGEST_PAUSE, self.pause * 2**attempt)
        return max(wait or 0.0, random.uniform(grown / 2, grown))

    def _fetch(self, path: str, body: object) -> object:
        reply, content = asyncio.run_coroutine_threadsafe(
            self._send(path, body), self._loop
        ).result()
        text = content.decode("utf-8", "replace")
        if not 200 <= reply.status_code < 300:
            raise self._fault(reply, text)
        return self._decode(text)

    async def _send(self, path: str, body: object) -> tuple[httpx2.Response, bytes]:
        """The answer to one request, whole before the deadline."""
        import httpx2

        method, content = ("GET", None) if body is None else ("POST", json.dumps(body).encode())
        headers = {"Content-Type": "application/json"} if content else {}
        found = bytearray()
        where = "no answer"
        try:
            async with (
                asyncio.timeout(self.timeout),
                self._client.stream(
                    method, f"{self.url}{path}", content=content, headers=headers
                ) as reply,
            ):
                where = "no whole answer"
                async for chunk in reply.aiter_bytes():
                    found += chunk
                    if len(found) > MOST_BYTES:
                        raise Trouble("the server sends an answer without end")
        except (TimeoutError, httpx2.TimeoutException) as error:
            raise Trouble(f"{where} within {self.timeout:g} s") from error
        except httpx2.ConnectError as error:
            raise Trouble(f"no connection ({shown(str(error))})") from error
        except httpx2.RequestError as error:
            raise Trouble(f"the connection broke off ({shown(str(error))})") from error
        except (UnicodeError, OverflowError) as error:  # of a host or port that there cannot be
            raise Trouble(f"no connection ({shown(str(error))})") from error
        return reply, bytes(found)

    def _decode(self, text: str) -> object:
        """The JSON in an answer; a key that the server repeats is taken out.

        Raises:
            Trouble: there is none.
        """
        try:
            decoded: object = json.loads(text)
            if not self._secret:
                return decoded
            secret = json.dumps(self._secret)[1:-1]
            plain = json.dumps(decoded)
            return json.loads(plain.replace(secret, HIDDEN)) if secret in plain else decoded
        except (ValueError, RecursionError) as error:
            raise Trouble(f"the server's answer is not JSON: {self._hidden(text)!r}") from error

    def _hidden(self, text: str) -> str:
        """A server's text, shown without the key."""
        return shown(text.replace(self._secret, HIDDEN) if self._secret else text)

    def _fault(self, reply: httpx2.Response, text: str) -> Trouble | Refusal:
        try:
            said = _message(self._decode(text))
        except Trouble:
            said = self._hidden(text)
        status = reply.status_code
        what = f"status {status}: {said}" if said else f"status {status}"
        # llama-cpp-python calls log-probabilities it was not started for an internal error.
        if status in PASSING or (status >= 500 and "logprob" not in said):
            return Trouble(what, _retry_after(reply.headers.get("Retry-After")))
        if 300 <= status < 400:
            place = self._hidden(str(reply.headers.get("Location")))
            return Refusal(
                f"{self.url} leads elsewhere, to {place} ({what}). Give that as `url`.",
                status,
                said,
            )
        return Refusal(
            f"{self.url} refuses the request with {what.rstrip('. ')}. {_advice(status, said)}",
            status,
            said,
        )


@cache
def _loop() -> asyncio.AbstractEventLoop:
    """One loop for all requests.

    There a deadline holds over name look-up, handshake, headers and body alike. Its thread is a
    daemon: a request under way does not hold up the end of the program.
    """
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, daemon=True).start()
    return loop


def _close(client: httpx2.AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
    asyncio.run_coroutine_threadsafe(client.aclose(), loop)


def _client(url: str, api_key: str | None, connections: int) -> httpx2.AsyncClient:
    """A client that leaves deadlines to its caller.

    Raises:
        UserError: the address, or what the environment says of proxies and certificates, is no
            use.
    """
    import httpx2

    try:
        return httpx2.AsyncClient(
            headers={"Authorization": f"Bearer {api_key}"} if api_key else {},
            timeout=httpx2.Timeout(None, connect=10.0),
            limits=httpx2.Limits(max_connections=connections),
            # A proxy for the world outside is none for this machine.
            trust_env=httpx2.URL(url).host not in _LOOPBACK,
        )
    except ImportError as error:
        raise UserError(
            f"{_variables('_PROXY')} names a SOCKS proxy, which needs a package of its own: "
            "pip install 'httpx2[socks]'. Or unset it for this command."
        ) from error
    except OSError as error:
        raise UserError(
            f"{_variables('SSL_CERT_')} names certificates that cannot be read "
            f"({shown(error.strerror or str(error))}). Correct or unset it."
        ) from error
    except (ValueError, httpx2.InvalidURL) as error:
        # A proxy's address may hold its password: the message is not repeated.
        proxies = _variables("_PROXY")
        culprit = f"`url` ({url}) or {proxies}" if proxies else f"`url` ({url})"
        raise UserError(f"{culprit} is no address that can be asked. Correct it.") from error


def _variables(part: str) -> str:
    """Names of the environment variables of a kind that are set."""
    return " or ".join(sorted(name for name in os.environ if part in name.upper()))


def _patience(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 1e6 else "for longer than a week"


def _advice(status: int, said: str) -> str:
    """What to change in the system.toml after a refusal."""
    lower = said.lower()
    if "max_completion_tokens" in lower:
        return 'Set token_limit = "max_completion_tokens" in [endpoint].'
    for key in ("max_tokens", "temperature"):
        if key in lower:
            return f'Leave it out with omit = ["{key}"] in [endpoint], or set it in `body`.'
    if "system" in lower and ("role" in lower or "message" in lower):
        return "Set system_role = false in [endpoint]: the model's template has no such role."
    return _ADVICE.get(status, "Correct the [endpoint] table, or how the server is started.")


def shown(text: str, most: int = 200) -> str:
    """What a server sent, on one line and fit for a terminal."""
    line = " ".join(text[: 4 * most].split())
    line = "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in line)
    return line if len(line) <= most else f"{line[:most]}..."


def quoted(reply: object) -> str:
    """A decoded answer, shown in quotation marks."""
    try:
        return repr(shown(json.dumps(reply)))
    except RecursionError:
        return "(nested too deeply to be shown)"


def _message(found: object) -> str:
    """The message in a server's error, wherever this kind of server puts it."""
    while isinstance(found, dict):
        inner = [found[key] for key in ("error", "message", "detail") if found.get(key)]
        if not inner:
            break
        found = inner[0]
    if not found:
        return ""
    return shown(found) if isinstance(found, str) else quoted(found)


def _retry_after(value: str | None) -> float | None:
    """Seconds to wait, from seconds or a date (RFC 9110, section 10.2.3)."""
    if value is None:
        return None
    if value.strip().isascii() and value.strip().isdigit():
        return float(value)
    try:
        date = parsedate_to_datetime(value)
        date = date if date.tzinfo else date.replace(tzinfo=UTC)
        return max(0.0, (date - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, OverflowError, IndexError):
        return None
