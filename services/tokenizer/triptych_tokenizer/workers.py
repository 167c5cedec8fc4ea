"""Threads for computing, and how much may wait for them."""

import asyncio
import contextlib
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from triptych_servicekit.errors import Overloaded

T = TypeVar("T")

# About a tenth of the time in which a full queue is worked off.
RETRY_AFTER = 1.0


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A finished piece of work; times are on the clock of `time.monotonic`."""

    value: T
    started: float
    finished: float


class Workers:
    """A pool of threads behind a bound on the work that waits or runs, measured by its callers."""

    def __init__(self, threads: int, capacity: int) -> None:
        self.threads = threads
        self.load = 0
        self._capacity = capacity
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="tokenize")

    @contextlib.contextmanager
    def admit(self, load: int) -> Iterator[None]:
        """Hold `load` of the capacity. Raises Overloaded where so much is not free."""
        if self.load + load > self._capacity:
            raise Overloaded("too much text is waiting to be tokenized", retry_after=RETRY_AFTER)
        self.load += load
        try:
            yield
        finally:
            self.load -= load

    async def run(self, work: Callable[[], T], *, inline: bool = False) -> Done[T]:
        """Do work in a thread, or at once on the event loop where that is cheaper.

        Cancelled, it is not begun if it still waits.
        """
        if inline:
            return _timed(work)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _timed, work)

    def close(self) -> None:
        """End the threads; work that waits is dropped."""
        self._pool.shutdown(cancel_futures=True)


def _timed(work: Callable[[], T]) -> Done[T]:
    started = time.monotonic()
    value = work()
    return Done(value, started, time.monotonic())
