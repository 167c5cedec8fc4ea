"""Whether another request may come in: by number, and by how long it would wait."""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Final

from triptych_gateway.settings import Requests
from triptych_servicekit.errors import DeadlineExceeded, Overloaded

# Weight of the newest measurement of the rate, and how long one measurement lasts at least.
SMOOTHING: Final = 0.3
MIN_INTERVAL: Final = 0.5
# How soon a client that was refused for the number of requests may try again, in seconds.
RETRY_AFTER: Final = 1.0


class Admission:
    """Estimates the wait from what is in progress and from the rate of a saturated platform.

    `saturated` says whether requests are waiting for the encoder. The rate is measured only
    while they are: an idle platform's says nothing about what it could do. And only then is a
    request refused for its wait: where none waits, the rate is one of another time.
    """

    def __init__(self, limits: Requests, saturated: Callable[[], bool]) -> None:
        self._limits = limits
        self._saturated = saturated
        self.requests = 0
        self.tokens = 0
        self._rate = 0.0
        self._since: float | None = None
        self._done = 0

    @contextlib.contextmanager
    def admit(self, tokens: int, deadline: float, *, measured: bool = True) -> Iterator[None]:
        """Hold a place for a request, of which about so many `tokens` are waited for by the next.

        Not `measured` is one that calls `measure` itself. Raises Overloaded or DeadlineExceeded.
        """
        self._check(deadline)
        self.requests += 1
        self.tokens += tokens
        try:
            yield
            if measured:
                self.measure(tokens)
        finally:
            self.requests -= 1
            self.tokens -= tokens

    def _check(self, deadline: float) -> None:
        limits = self._limits
        remaining = deadline - time.monotonic()
        if remaining <= 0:
            raise DeadlineExceeded("the request's time was over when it arrived")
        if self.requests >= limits.max_concurrent_requests:
            raise Overloaded(
                f"max_concurrent_requests is {limits.max_concurrent_requests}",
                retry_after=RETRY_AFTER,
            )
        if not self._saturated():
            # Whoever left without an answer, idle time has passed since the last one was counted.
            self._since = None
            return
        wait = self.tokens / self._rate if self._rate else 0.0
        if wait > min(limits.max_queue_wait, remaining):
            raise Overloaded(f"the estimated wait is {wait:.1f} s", retry_after=wait)

    def measure(self, tokens: int) -> None:
        """So many are done.

        What takes long says it bit by bit: seen only at its end, it would make the platform look
        slow until then.
        """
        now = time.monotonic()
        if self._since is None or not self._saturated():
            self._since, self._done = (now if self._saturated() else None), 0
            return
        self._done += tokens
        elapsed = now - self._since
        if elapsed >= MIN_INTERVAL:
            weight = SMOOTHING if self._rate else 1.0
            self._rate += weight * (self._done / elapsed - self._rate)
            self._since, self._done = now, 0
