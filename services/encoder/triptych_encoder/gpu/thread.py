"""The one thread that gives the GPU of this process its work.

Recorded graphs belong to the thread that recorded them: so all models share this one. Models are
opened beside it, since that takes seconds in which it would give no model any work.
"""

import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from triptych_servicekit.errors import Unavailable

logger = logging.getLogger(__name__)

T = TypeVar("T")


class GpuThread:
    """Runs calls one after the other."""

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="gpu")
        self._opening = threading.Lock()
        self._failure = ""

    @property
    def failure(self) -> str:
        """Why the GPU is of no use to this process any more; empty while it is sound."""
        return self._failure

    def call(self, function: Callable[[], T]) -> T:
        """The outcome of a call made there. Raises Unavailable once the GPU has failed."""
        self._check()
        return self._pool.submit(function).result()

    def open(self, function: Callable[[], T]) -> T:
        """The outcome of a call that opens a model, made in a thread that ends with it.

        One at a time: while one records its graphs, another's opening would wait for the GPU to be
        idle, which is an error then. The thread ends because the library keeps state for each that
        touched a model, and takes it away, unlocked, where the model is closed.
        """
        self._check()
        with self._opening, ThreadPoolExecutor(1, thread_name_prefix="gpu-open") as own:
            return own.submit(function).result()

    def _check(self) -> None:
        if self._failure:
            raise Unavailable("the encoder's device has failed")

    def fail(self, reason: str) -> None:
        """Nothing is called any more: an error of this kind stays until the process ends."""
        if not self._failure:
            logger.critical("the GPU has failed; the process has to end", extra={"reason": reason})
            self._failure = reason

    def close(self) -> None:
        """End the thread."""
        self._pool.shutdown()
