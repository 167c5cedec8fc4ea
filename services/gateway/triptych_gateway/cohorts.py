"""Cohorts: requests that arrive while the platform is busy go through its stages together.

A hop is so paid once for all of them, and nothing is divided and put together again between one
stage and the next. What waits is the next cohort while fewer than `calls` for each encoder replica
are on their way to the encoder or in it: under no load nothing waits, and under load what one
cohort brings back, its clients' next requests, is a cohort again. Beyond that only full ones go, up
to `weight`.

Each takes an equal share of what there is to do, but LEAST at the least: below that its way costs
more than the encoder's idleness, and a few clients go as one. It leaves when the one before it has
been tokenized: cohorts that leave together come back together, and the encoder would have nothing
to do meanwhile. While less than a share waits, others may be about to come: it waits for them, but
no longer than HOLD, and with nothing on its way only after an answer, until none comes for QUIET.

A cohort that has brought two replicas down goes again one request after the other, each alone on a
replica: what kills replicas then fails alone.
"""

import asyncio
import logging
import math
import time
from collections.abc import Callable, Sequence
from contextvars import Context
from typing import Any, Final, Protocol, TypeVar

from triptych_gateway.entries import Call, Entry, Group, Window
from triptych_gateway.gather import Suspected
from triptych_gateway.models.background import ranked
from triptych_gateway.pending import Pending
from triptych_gateway.tasks import Origin
from triptych_servicekit.errors import Internal, TriptychError, Unavailable

logger = logging.getLogger(__name__)

W = TypeVar("W")

# Seconds: longer than a client on the same machine takes from an answer to its next request.
QUIET: Final = 0.001
# Seconds that a request waits for others, at most. With 100 and 250 requests a second of a Poisson
# process on two cores it is answered earlier for it, at the median too.
HOLD: Final = 0.003
# Tokens that are as long in the encoder, on two cores, as calls of three stages take besides.
LEAST: Final = 256
# What is left, a cohort later, of what was there at most: how many clients there are is seen only
# while all of them wait.
FORGET: Final = 0.99

Entries = Sequence[Entry[Any, Any]]


class Stages(Protocol):
    """What a cohort goes through; with `alone` each stage does nothing else meanwhile."""

    async def tokenize(self, call: Any, entries: Entries, alone: bool) -> Any:
        """What comes of the inputs at first."""

    async def encode(self, call: Any, entries: Entries, chunk: Any, alone: bool) -> None:
        """Carry it on to the encoder's outputs."""

    async def answer(self, entries: Entries, chunk: Any, alone: bool) -> Sequence[Any]:
        """Carry it on to the end: a result for each entry, in order."""


class Cohorts:
    """Sends entries through `stages`. `replicas` says how many encoders serve at present."""

    def __init__(
        self,
        stages: Stages,
        window: Window,
        replicas: Callable[[], int],
        *,
        quiet: float = QUIET,
        hold: float = HOLD,
    ) -> None:
        self._stages = stages
        self._window = window
        self._replicas = replicas
        self._quiet = quiet
        self._longest = hold
        self._pending = Pending()
        self._riding: set[asyncio.Task[None]] = set()
        self._tokenizing = 0
        self._encoding = 0
        self._weight = 0
        self._newest = 0.0
        self._answered = -math.inf
        self._peak = 0.0
        self._scheduled = False
        self._holding: asyncio.TimerHandle | None = None

    @property
    def pending_weight(self) -> int:
        """Of what waits here."""
        return self._pending.weight

    async def submit(self, work: W, call: Call, weight: int, count: int, origin: Origin) -> Any:
        """The result of a request's work, which is of `count` items.

        Raises what the stages raised. Cancelling drops the work if it has not gone out yet, and
        cancels the cohort once nobody waits for any part of it.
        """
        entry: Entry[W, Any] = Entry(work, call, weight, ((ranked(origin), count),))
        self._pending.add(entry)
        self._newest = entry.submitted
        self._wake()
        try:
            return await entry.future
        finally:
            del entry  # or an error would hold this frame, the frame the entry, the entry the error

    async def stop(self) -> None:
        """Cancel what is on its way and fail what waits."""
        for entry in self._pending.clear():
            entry.fail(_stopping())
        riding = list(self._riding)
        for task in riding:
            task.cancel()
        await asyncio.gather(*riding, return_exceptions=True)

    def _wake(self) -> None:
        """Send what can be sent, after everything that arrives in this turn of the loop."""
        if not self._scheduled:
            self._scheduled = True
            asyncio.get_running_loop().call_soon(self._send)

    def _send(self) -> None:
        self._scheduled = False
        if self._holding is not None:
            self._holding.cancel()
        while (call := self._pending.most_urgent()) is not None and (room := self._room(call)):
            if (hold := self._hold(call, room)) > 0:
                self._holding = asyncio.get_running_loop().call_later(hold, self._send)
                return
            if entries := list(self._pending.take(call, room)):
                self._start(Group(entries))

    def _room(self, call: Call) -> int:
        """What the next cohort may weigh; 0 while none may leave."""
        window, replicas = self._window, max(1, self._replicas())
        full, left = window.call_weight, window.weight * replicas - self._weight
        if not self._encoding or (self._pending.weight_of(call) >= full <= left):
            return full
        if self._tokenizing or self._encoding >= window.calls * replicas:
            return 0
        share = min(full, self._share())
        return share if share <= left else 0

    def _hold(self, call: Call, room: int) -> float:
        """Seconds for which others may be about to come."""
        if self._pending.weight >= min(room, self._share()):
            return 0
        if self._weight:
            end = self._pending.since(call) + self._longest
        else:
            quiet = max(self._newest, self._answered) + self._quiet
            end = min(quiet, self._answered + self._longest)
        return end - time.monotonic()

    def _share(self) -> int:
        cohorts = self._window.calls * max(1, self._replicas()) + 1
        self._peak = max(self._weight + self._pending.weight, self._peak)
        return max(math.ceil(self._peak / cohorts), min(math.ceil(self._peak), LEAST))

    def _start(self, group: Group, alone: bool = False) -> None:
        group.go(time.monotonic())
        # In a context of its own: it is of many requests, not of the one that gave cause for it.
        task = asyncio.create_task(self._run(group, alone), context=Context())
        self._riding.add(task)
        task.add_done_callback(self._riding.discard)
        group.cancel_with(task)
        self._tokenizing += 1
        self._encoding += 1
        self._weight += group.weight
        self._peak *= FORGET

    async def _run(self, group: Group, alone: bool) -> None:
        try:
            chunk = await self._encode(group, alone)
            group.resolve(await self._stages.answer(group.entries, chunk, alone))
        except Suspected:
            for entry in group.living():
                self._start(Group([entry]), alone=True)
        except TriptychError as error:
            group.fail(error)
        except asyncio.CancelledError:
            group.fail(_stopping())  # reaches who still waits
            raise
        except Exception:
            logger.exception("a cohort failed")
            group.fail(Internal("internal error"))
        finally:
            self._weight -= group.weight
            self._answered = time.monotonic()
            self._wake()

    async def _encode(self, group: Group, alone: bool) -> Any:
        call, entries = group.entries[0].call, group.entries
        try:
            chunk = await self._tokenize(call, entries, alone)
            await self._stages.encode(call, entries, chunk, alone)
            return chunk
        finally:
            self._encoding -= 1
            self._wake()

    async def _tokenize(self, call: Call, entries: Entries, alone: bool) -> Any:
        try:
            return await self._stages.tokenize(call, entries, alone)
        finally:
            self._tokenizing -= 1
            self._wake()


def _stopping() -> Unavailable:
    return Unavailable("the gateway is stopping")
