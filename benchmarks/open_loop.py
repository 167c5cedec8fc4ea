"""The open loop: requests arrive when they arrive, whether or not the ones before are answered.

Arrivals are a Poisson process. A latency runs from when a request was due, not from when a
connection was free for it: a system that stalls cannot hide behind requests that were not sent.
"""

import asyncio
import resource
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, cast

import numpy as np
import uvloop
from numpy.typing import NDArray

from benchmarks.closed_loop import LoadError, Target
from benchmarks.texts import Text, requests

Times = NDArray[np.float64]
"""In seconds."""

HEAD: Final = b"POST %b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
LENGTH: Final = b"Content-Length: %d\r\n\r\n"
LEAD: Final = 0.1
"""Seconds before the first arrival."""
TIMEOUT: Final = 60.0
"""Seconds after the last arrival by which all must be answered."""
POOL: Final = 32
"""Connections that are open from the start; more are opened where all are in use."""


@dataclass(frozen=True, slots=True)
class Arrivals:
    """What an open loop saw; seconds."""

    latencies: Times
    duration: float
    cpu: float
    """Of the client."""

    def percentile(self, percent: float) -> float:
        """Latency that so many per cent of the requests did not exceed."""
        return float(np.percentile(self.latencies, percent))


def schedule(rate: float, seconds: float, rng: np.random.Generator) -> Times:
    """Times of a Poisson process of `rate` a second within [0, seconds), ascending.

    Given their number, its arrivals are spread evenly and independently.
    """
    return np.sort(rng.uniform(0, seconds, rng.poisson(rate * seconds)))


def run(target: Target, texts: Sequence[Text], times: Times) -> Arrivals:
    """Ask one text at each of the times. Raises LoadError where an answer is not 200 or is late."""
    head = HEAD % target.path.encode()
    bodies = [target.body(asked) for asked in requests(texts, 1)]
    made = [head + LENGTH % len(body) + body for body in bodies]
    started, before = time.perf_counter(), _own_cpu()
    latencies = uvloop.run(_Client(target, made, times).run())
    return Arrivals(latencies, time.perf_counter() - started, _own_cpu() - before)


def _own_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


class _Client:
    """Sends each request when it is due, over a pool that grows."""

    def __init__(self, target: Target, made: Sequence[bytes], times: Times) -> None:
        self._target, self._made, self._times = target, made, times
        self._free: deque[_Connection] = deque()
        self._latencies = np.full(len(times), np.nan)

    async def run(self) -> Times:
        """Latency of every request, in order of arrival."""
        loop = asyncio.get_running_loop()
        self._free.extend([await self._connect() for _ in range(POOL)])
        start, asked = loop.time() + LEAD, []
        for number, due in enumerate(self._times + start):
            await asyncio.sleep(due - loop.time())
            asked.append(asyncio.ensure_future(self._ask(number, due)))
        async with asyncio.timeout(TIMEOUT):
            await asyncio.gather(*asked)
        for connection in self._free:
            connection.transport.close()
        return self._latencies

    async def _ask(self, number: int, due: float) -> None:
        connection = self._free.pop() if self._free else await self._connect()
        await connection.ask(self._made[number])
        self._latencies[number] = asyncio.get_running_loop().time() - due
        self._free.append(connection)

    async def _connect(self) -> "_Connection":
        loop = asyncio.get_running_loop()
        _, connection = await loop.create_connection(
            _Connection, self._target.host, self._target.port
        )
        return connection


class _Connection(asyncio.Protocol):
    """One request at a time, and no more of HTTP than its answer's status and length."""

    transport: asyncio.Transport

    def __init__(self) -> None:
        self._received = bytearray()
        self._length = 0
        self._answered: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)

    def ask(self, made: bytes) -> asyncio.Future[None]:
        """Done once the answer is there in full."""
        self._received.clear()
        self._length = 0
        self._answered = asyncio.get_running_loop().create_future()
        self.transport.write(made)
        return self._answered

    def data_received(self, data: bytes) -> None:
        """Wait for the rest, or say that the answer is there."""
        self._received += data
        if not self._length:
            self._length = answer_length(self._received)
        if self._length and len(self._received) >= self._length and self._answered:
            self._settle(self._answered)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fail what still waits."""
        if self._answered and not self._answered.done():
            self._answered.set_exception(LoadError(f"the connection was closed: {exc}"))

    def _settle(self, answered: "asyncio.Future[None]") -> None:
        if self._received.startswith(b"HTTP/1.1 200"):
            answered.set_result(None)
        else:
            answered.set_exception(LoadError(f"answered {bytes(self._received[:200])!r}"))


def answer_length(received: bytes | bytearray) -> int:
    """Bytes of an answer, head included; 0 while its head is not complete."""
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return 0
    head = bytes(received[:end]).lower()
    return end + 4 + int(head.partition(b"content-length:")[2].partition(b"\r\n")[0])
