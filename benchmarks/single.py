"""One text at a time on an idle system, against the bare runtime on the same text."""

import socket
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.bare import Bare, pad
from benchmarks.closed_loop import LoadError, Target
from benchmarks.open_loop import HEAD, LENGTH, answer_length
from benchmarks.runtimes import graphs
from benchmarks.served import Served
from benchmarks.texts import Source, Text
from triptych_servicekit.cores import available_cores

TEXTS: Final = 20
"""Of a repetition."""
RECEIVE_BYTES: Final = 65_536
TIMEOUT: Final = 30.0


@dataclass(frozen=True, slots=True)
class Single:
    """Median seconds for a text, once: by the system, and by the bare runtime in between."""

    system: str
    precision: str
    kind: str
    served: float
    bare: float


def compare(served: Served, bare: Bare, kind: str, source: Source) -> Single:
    """The same texts one by one, first by one and then by the other, alternating.

    The bare runtime's best thread layout for a single text is the one that is faster here.
    """
    texts = source.take(kind, TEXTS)
    runs = [_bare_run(bare, threads) for threads in sorted({1, available_cores()})]
    with served.working(), _Line(served.target) as line:
        line.ask(source.take(kind, 1)[0])
        times = [[_seconds(run, text) for run in (line.ask, *runs)] for text in texts]
    asked, *computed = (statistics.median(column) for column in zip(*times, strict=True))
    return Single(served.name, served.precision, kind, asked, min(computed))


def _seconds(run: Callable[[Text], object], text: Text) -> float:
    started = time.perf_counter()
    run(text)
    return time.perf_counter() - started


def _bare_run(bare: Bare, threads: int) -> Callable[[Text], object]:
    graph = graphs(bare.bundle, bare.precision)[0][0]
    run = bare.opened(graph, available_cores() // threads, threads)
    return lambda text: run(pad([text.ids]))


class _Line:
    """A connection that is kept, without an event loop's delay."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._socket = socket.create_connection((target.host, target.port), TIMEOUT)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> "_Line":
        return self

    def __exit__(self, *reason: object) -> None:
        self._socket.close()

    def ask(self, text: Text) -> None:
        """Send it and wait for the whole answer. Raises LoadError where that is not 200."""
        body = self._target.body(text.text)
        self._socket.sendall(HEAD % self._target.path.encode() + LENGTH % len(body) + body)
        received, length = bytearray(), 0
        while not length or len(received) < length:
            data = self._socket.recv(RECEIVE_BYTES)
            if not data:
                raise LoadError("the connection was closed")
            received += data
            length = length or answer_length(received)
        if not received.startswith(b"HTTP/1.1 200"):
            raise LoadError(f"answered {bytes(received[:200])!r}")


def median(singles: Sequence[Single]) -> tuple[float, float]:
    """Medians over the repetitions: of the system and of the bare runtime."""
    return (
        statistics.median(item.served for item in singles),
        statistics.median(item.bare for item in singles),
    )
