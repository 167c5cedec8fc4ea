"""A steady load over HTTP that tells apart what most clients call by one name: a failure."""

import asyncio
import contextlib
import json
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final
from urllib.parse import urlsplit

MODEL: Final = "all-minilm-l6-v2"
TIMEOUT: Final = 30.0


class Outcome(Enum):
    """How a request ended: `REFUSED` is a connection closed before the first byte of an answer."""

    ANSWERED = "answered"
    FAILED = "failed"
    REFUSED = "refused"
    BROKEN = "broken"
    TIMED_OUT = "timed out"


@dataclass(frozen=True, slots=True)
class Request:
    """One request of a load: when it was sent (seconds since the epoch), and its end."""

    sent: float
    outcome: Outcome
    answer: str = ""


@dataclass(slots=True)
class Load:
    """Clients that each send one request after the other, `pause` seconds between them."""

    url: str
    clients: int = 8
    pause: float = 0.04
    texts: Sequence[str] = ("the quick brown fox jumps over the lazy dog",)
    requests: list[Request] = field(default_factory=list)

    @property
    def counts(self) -> Counter[Outcome]:
        """How many requests ended in which way."""
        return Counter(request.outcome for request in self.requests)

    def failures(self) -> list[Request]:
        """The requests that were not answered with 200."""
        return [one for one in self.requests if one.outcome is not Outcome.ANSWERED]

    async def client(self) -> None:
        """One of the clients; it keeps its connection while the server does."""
        place = urlsplit(self.url)
        connection = _Connection(str(place.hostname), int(place.port or 80))
        body = json.dumps({"model": MODEL, "input": list(self.texts)}).encode()
        try:
            while True:
                self.requests.append(await connection.ask("/v1/embeddings", body))
                await asyncio.sleep(self.pause)
        finally:
            await connection.close()


@contextlib.asynccontextmanager
async def steady(load: Load) -> AsyncIterator[Load]:
    """The load during a block; requests in progress at its end are given up."""
    clients = [asyncio.create_task(load.client()) for _ in range(load.clients)]
    try:
        yield load
    finally:
        for client in clients:
            client.cancel()
        await asyncio.gather(*clients, return_exceptions=True)


class _Connection:
    """HTTP/1.1 with nothing between us and the socket."""

    def __init__(self, host: str, port: int) -> None:
        self._host, self._port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, path: str, body: bytes) -> Request:
        """Send one request and wait for its end."""
        sent = time.time()
        try:
            async with asyncio.timeout(TIMEOUT):
                outcome, answer = await self._exchange(path, body)
        except TimeoutError:
            outcome, answer = Outcome.TIMED_OUT, ""
        if outcome is not Outcome.ANSWERED:
            await self.close()
        return Request(sent, outcome, answer)

    async def close(self) -> None:
        """Let go of the connection."""
        if self._streams:
            writer, self._streams = self._streams[1], None
            writer.close()
            with contextlib.suppress(OSError):
                await writer.wait_closed()

    async def _exchange(self, path: str, body: bytes) -> tuple[Outcome, str]:
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection(self._host, self._port)
            reader, writer = self._streams
            writer.write(_head(self._host, path, len(body)) + body)
            await writer.drain()
            status = await reader.readline()
        except OSError:
            return Outcome.REFUSED, ""
        if not status:
            return Outcome.REFUSED, ""
        return await _answer(reader, status)


def _head(host: str, path: str, length: int) -> bytes:
    lines = (
        f"POST {path} HTTP/1.1",
        f"host: {host}",
        "content-type: application/json",
        f"content-length: {length}",
    )
    return "\r\n".join((*lines, "", "")).encode()


async def _answer(reader: asyncio.StreamReader, status: bytes) -> tuple[Outcome, str]:
    try:
        headers = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        length = headers.partition("content-length:")[2].split("\r\n")[0]
        content = await reader.readexactly(int(length))
    except (OSError, asyncio.IncompleteReadError):
        return Outcome.BROKEN, status.decode()
    if b" 200 " not in status:
        return Outcome.FAILED, (status + content).decode()[:500]
    return Outcome.ANSWERED, ""
