"""Gathering: requests that arrive while a stage is busy share its next call.

Each replica of a stage has a window of calls and tokens in flight. An entry goes out at once while
there is room; what does not fit waits, and all that waited goes out together. A hop is so paid per
batch, not per text, and under no load nothing waits.

A call that fails because its replica is gone is made once more, whole, on another replica. If that
fails too its entries go alone, one after the other on a replica that does nothing else meanwhile,
and twice if they must: an item that kills replicas then fails alone.

A call whose replica lacks the bundle is made once more on another one. That costs no more than a
look-up, so that it is not taken from the budget of retries; if that lacks it too, or there is no
other, the entries end with ModelNotLoaded, and what to do about it is for the router to say.
"""

import asyncio
import itertools
import logging
import math
import time
from collections import deque
from typing import Any, Final, TypeVar, cast

from triptych_gateway.entries import (
    ALONE,
    FIRST,
    LAST,
    RETRY,
    Callers,
    Entry,
    Group,
    Pool,
    StageCall,
    Window,
)
from triptych_gateway.pending import Pending
from triptych_gateway.retries import RetryBudget
from triptych_gateway.telemetry import StageMetrics
from triptych_servicekit.errors import Internal, ModelNotLoaded, TriptychError, Unavailable

logger = logging.getLogger(__name__)

W = TypeVar("W")

# Seconds between the last failure and what is sent alone. Two replicas have gone within moments; by
# then it is known, here and to the proxies of a mesh, which of them serve.
ALONE_DELAY: Final = 0.1


class Suspected(Unavailable):
    """Work of several callers, of whom one kills replicas: each is to be sent alone."""


class Gatherer:
    """Sends the entries of one stage."""

    def __init__(
        self, pool: Pool, window: Window, budget: RetryBudget, metrics: StageMetrics
    ) -> None:
        self._pool = pool
        self._window = window
        self._budget = budget
        self._metrics = metrics
        self._pending = Pending()
        self._retries: deque[Group] = deque()
        self._alone: deque[Group] = deque()
        self._failed = -math.inf
        self._reserved: Any = None
        self._scheduled = False
        self._turns = itertools.count(1)
        self._running: set[asyncio.Task[None]] = set()

    async def submit(
        self, work: W, call: StageCall, weight: int, callers: Callers, alone: bool = False
    ) -> tuple[Any, float]:
        """The result of `work`, sent with what else waits for an equal call.

        With it the seconds that it was held here before it went out. With `alone` it goes to a
        replica that does nothing else meanwhile.

        Raises what the call raised, and Suspected where work of several callers has brought two
        replicas down. Cancelling drops the work if it has not gone out yet, and cancels its call
        once nobody waits for any part of it.
        """
        entry: Entry[W, Any] = Entry(work, call, weight, callers)
        if alone:
            self._alone.append(Group([entry], ALONE))
        else:
            self._pending.add(entry)
        self.wake()
        try:
            result = await entry.future
            return result, entry.held
        finally:
            del entry  # or an error would hold this frame, the frame the entry, the entry the error

    def wake(self) -> None:
        """Send what can be sent, after everything that arrives in this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def fail_waiting(self, error: TriptychError) -> None:
        """End everything that has not gone out."""
        waiting = self._pending.clear()
        for group in (*self._retries, *self._alone):
            waiting += group.entries
        self._retries.clear()
        self._alone.clear()
        for entry in waiting:
            entry.fail(error)

    async def stop(self) -> None:
        """Cancel what is in flight and fail what waits."""
        self.fail_waiting(Unavailable("the gateway is stopping"))
        for task in self._running:
            task.cancel()
        await asyncio.gather(*self._running, return_exceptions=True)

    def _send(self) -> None:
        self._scheduled = False
        self._send_alone()
        while replica := self._roomiest(self._retries[0].avoid if self._retries else None):
            group = self._next_group(replica)
            if group is None:
                return
            self._start(group, replica)

    def _roomiest(self, avoid: Any) -> Any:
        """The serving replica with the least in flight that has room; `avoid` only if it is alone.

        Equals take turns: where nothing is ever in flight, the first would get everything.
        """
        serving = [replica for replica in self._pool.serving() if replica is not self._reserved]
        others = [replica for replica in serving if replica is not avoid]
        return min(
            filter(self._window.has_room, others or serving),
            key=lambda replica: (replica.weight, replica.calls, replica.turn),
            default=None,
        )

    def _next_group(self, replica: Any) -> Group | None:
        room = self._window.weight - replica.weight if replica.calls else math.inf
        if self._retries:
            if self._retries[0].weight > room:
                return None
            return self._retries.popleft()
        call = self._pending.most_urgent()
        if call is None:
            return None
        entries = list(self._pending.take(call, self._window.call_weight, room))
        return Group(entries) if entries else None

    def _send_alone(self) -> None:
        """Reserve a replica for suspects, wait until it is idle, and send them one by one."""
        if not self._alone:
            if self._reserved is not None and not self._reserved.calls:
                self._reserved = None
            return
        if self._reserved is None or not self._reserved.serving:
            self._reserved = min(self._pool.serving(), key=lambda item: item.calls, default=None)
        rest = self._failed + ALONE_DELAY - time.monotonic()
        if rest > 0:
            asyncio.get_running_loop().call_later(rest, self.wake)
        elif self._reserved is not None and self._reserved.calls == 0:
            self._start(self._alone.popleft(), self._reserved)

    def _start(self, group: Group, replica: Any) -> None:
        replica.calls += 1
        replica.weight += group.weight
        replica.turn = next(self._turns)
        self._budget.deposit()
        group.go(time.monotonic())
        task = asyncio.create_task(self._run(group, replica))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        group.cancel_with(task)

    async def _run(self, group: Group, replica: Any) -> None:
        started = time.perf_counter()
        code = "OK"
        try:
            call = cast("StageCall", group.entries[0].call)
            results = await call(replica, group.entries)
            group.resolve(results)
        except Unavailable as error:
            code = error.reason
            self._repeat(group, replica)
        except ModelNotLoaded as error:
            code = error.reason
            self._try_another(group, replica, error)
        except TriptychError as error:
            code = error.reason
            group.fail(error)
        except asyncio.CancelledError:
            code = "CANCELLED"
            group.fail(Unavailable("the gateway is stopping"))  # reaches who still waits
            raise
        except Exception:
            code = Internal.reason
            logger.exception("a stage call failed")
            group.fail(Internal("internal error"))
        finally:
            replica.calls -= 1
            replica.weight -= group.weight
            self._metrics.observe(group.weight, code, time.perf_counter() - started)
            self.wake()

    def _repeat(self, group: Group, replica: Any) -> None:
        self._failed = time.monotonic()
        self._pool.suspect(replica)
        if group.attempt == LAST or not self._budget.withdraw():
            self._count("given_up")
            group.fail(Unavailable("a stage of the platform does not answer", retry_after=1.0))
            return
        self._count("made")
        living = group.living()
        if group.attempt == RETRY:
            self._suspect(living)
        elif living and group.attempt == ALONE:
            self._alone.append(Group(living, LAST))
        elif living:
            self._retries.append(Group(living, RETRY, avoid=replica))

    def _suspect(self, entries: "list[Entry[Any, Any]]") -> None:
        """One of these kills replicas: from now on each goes alone."""
        for entry in entries:
            if len(entry.callers) > 1:
                entry.fail(Suspected("a stage of the platform does not answer", retry_after=1.0))
            else:
                self._alone.append(Group([entry], ALONE))

    def _try_another(self, group: Group, replica: Any, error: ModelNotLoaded) -> None:
        others = any(other is not replica for other in self._pool.serving())
        if group.attempt != FIRST or not others:
            self._count("not_loaded")
            group.fail(error)
        elif living := group.living():
            self._count("made")
            self._retries.append(Group(living, RETRY, avoid=replica))

    def _count(self, outcome: str) -> None:
        self._metrics.retries.labels(self._metrics.stage, outcome).inc()
