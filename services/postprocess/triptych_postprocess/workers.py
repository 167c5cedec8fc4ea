"""Where arithmetic is done: at once while it is small, otherwise in a thread."""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """A result, and the seconds that the work waited and took."""

    value: T
    queue: float
    compute: float


class Workers:
    """A pool of threads, spared for work on more than `max_inline_bytes`."""

    def __init__(self, threads: int, max_inline_bytes: int) -> None:
        self._max_inline_bytes = max_inline_bytes
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="postprocess")

    async def run(self, size: int, work: Callable[[], T]) -> Done[T]:
        """Do work on `size` bytes. Cancelled, it is not begun if it still waits."""
        arrived = time.monotonic()
        if size <= self._max_inline_bytes:
            return _timed(arrived, work)
        return await asyncio.get_running_loop().run_in_executor(self._pool, _timed, arrived, work)

    def close(self) -> None:
        """End the threads; work that waits is dropped."""
        self._pool.shutdown(cancel_futures=True)


def _timed(arrived: float, work: Callable[[], T]) -> Done[T]:
    started = time.monotonic()
    value = work()
    return Done(value, started - arrived, time.monotonic() - started)
