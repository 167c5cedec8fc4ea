"""Requests to one platform, repeated while it is busy or out of reach."""

import asyncio
import math
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from triptych_client.errors import Refused, Unreachable

DEFAULT_TIMEOUT: Final = 60.0
"""Seconds for one attempt; the platform drops its work then too."""
DEFAULT_ATTEMPTS: Final = 8
"""With the waits below about a minute: longer than a stage takes to restart."""
FIRST_WAIT: Final = 0.5
LONGEST_WAIT: Final = 20.0
"""Seconds between attempts where the platform names none: doubled each time up to the longest."""
JITTER: Final = 0.25
"""Share of a wait that chance adds, so that clients refused together do not return together."""
MARGIN: Final = 5.0
"""Seconds that the platform's own word on the timeout is waited for."""
REPEATED: Final = frozenset({429, 502, 503, 504})
"""Busy, stopping, or a proxy's word for that. An evaluation may be asked again without harm."""
MAX_QUOTED: Final = 300
"""Characters of an answer that are shown to a person."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one request is tried."""

    timeout: float = DEFAULT_TIMEOUT
    attempts: int = DEFAULT_ATTEMPTS


@dataclass(frozen=True, slots=True)
class Reply:
    """An answer and what it took."""

    body: Any
    seconds: float
    """From the last attempt's start to the whole answer."""
    tokens: int
    """That were computed; 0 where the answer does not say."""
    attempts: int


class Connection:
    """The REST API at `client`'s base URL."""

    def __init__(self, client: httpx.AsyncClient, patience: Patience) -> None:
        self._client = client
        self._patience = patience

    async def get(self, path: str) -> Any:
        """The JSON at `path`. Raises Refused or Unreachable."""
        return (await self._ask("GET", path, None)).body

    async def post(self, path: str, body: Mapping[str, Any]) -> Reply:
        """The answer to `body`. Raises Refused or Unreachable."""
        return await self._ask("POST", path, body)

    async def _ask(self, method: str, path: str, body: Mapping[str, Any] | None) -> Reply:
        attempt = 0
        while True:
            attempt += 1
            started = time.perf_counter()
            try:
                response = await self._client.request(method, path, json=body)
            except httpx.TransportError as error:
                reason, wait = f"no answer: {error or type(error).__name__}", None
            else:
                seconds = time.perf_counter() - started
                if response.status_code not in REPEATED:
                    return _read(response, seconds, attempt)
                reason, wait = f"{response.status_code}: {_message(response)}", _wait(response)
            if attempt == self._patience.attempts:
                url = public(str(self._client.base_url))
                raise Unreachable(f"{url}: {reason}, after {attempt} attempts")
            await asyncio.sleep(backoff(attempt) if wait is None else wait)


def open_client(url: str, patience: Patience, connections: int) -> httpx.AsyncClient:
    """A client for as many connections as there are requests at once; to be closed."""
    return httpx.AsyncClient(
        base_url=url,
        headers={"x-request-timeout": f"{patience.timeout:g}"},
        timeout=patience.timeout + MARGIN,
        limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections),
    )


def backoff(attempt: int) -> float:
    """Seconds to wait after an attempt, the first being 1."""
    wait = min(FIRST_WAIT * 2.0 ** (attempt - 1), LONGEST_WAIT)
    return wait * (1 + JITTER * random.random())  # noqa: S311 (chance, not secrets)


def public(url: str) -> str:
    """A URL without the name and password that may be in it."""
    return str(httpx.URL(url).copy_with(userinfo=b"")).rstrip("/")


def _read(response: httpx.Response, seconds: float, attempts: int) -> Reply:
    if not response.is_success:
        error = _error(response)
        message = f"{response.status_code}: {_message(response)}"
        raise Refused(message, response.status_code, error.get("param") or "")
    try:
        body = response.json()
    except ValueError:
        raise Refused("the answer is not JSON: no Triptych platform?", 200) from None
    return Reply(body, seconds, int(response.headers.get("x-compute-tokens", 0)), attempts)


def _message(response: httpx.Response) -> str:
    text = _error(response).get("message") or response.text.strip() or response.reason_phrase
    return " ".join(str(text).split())[:MAX_QUOTED]


def _error(response: httpx.Response) -> dict[str, Any]:
    try:
        error = response.json()["error"]
    except (ValueError, KeyError, TypeError):
        return {}
    return error if isinstance(error, dict) else {}


def _wait(response: httpx.Response) -> float | None:
    """Seconds of Retry-After; None without one, or for a date, which the platform never sends."""
    try:
        seconds = float(response.headers["retry-after"])
    except (KeyError, ValueError):
        return None
    return max(seconds, 0.0) if math.isfinite(seconds) else None
