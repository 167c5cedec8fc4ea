"""What is gathered: entries, the groups they go out in, and whom they go to."""

import asyncio
import copy
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, Protocol, TypeVar

from triptych_gateway.tasks import Origin
from triptych_servicekit.errors import TriptychError

W = TypeVar("W")
R = TypeVar("R")

Callers = Sequence[tuple[Origin, int]]
"""Whose the items of a work are: runs over them, each of so many items."""

FIRST: Final = 0
RETRY: Final = 1
ALONE: Final = 2
LAST: Final = 3


class Replica(Protocol):
    """One replica of a stage, what is in flight to it, and when its turn was last."""

    serving: bool
    calls: int
    weight: int
    turn: int


class Pool(Protocol):
    """The replicas of a stage."""

    def serving(self) -> Sequence[Any]:
        """Those that can be called now."""

    def suspect(self, replica: Any) -> None:
        """This one did not answer: leave it alone until it is known to serve again."""


class Call(Protocol):
    """What entries have in common that go out together. Hashable: it is the key."""


class StageCall(Call, Protocol):
    """A call to a stage."""

    async def __call__(self, replica: Any, entries: "Sequence[Entry[Any, Any]]") -> Sequence[Any]:
        """A result for each entry, in order."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bounds per replica: calls and weight in flight, and the weight at which a call is full."""

    calls: int
    weight: int
    call_weight: int

    def has_room(self, replica: Replica) -> bool:
        """Whether another call may go out to a replica."""
        return replica.calls < self.calls


class Entry(Generic[W, R]):
    """A part of a call: work of one request, or of several that go through the stages together.

    `callers` are those requests, runs over the work's items. `deadline` is the latest of theirs.
    `weight` is in tokens for the encoder, in characters for the tokenizer, else in items.
    `submitted` and `sent` are on the clock of `time.monotonic`; `sent` is 0 until it has gone out.
    """

    __slots__ = (
        "call", "callers", "deadline", "future", "priority", "sent", "submitted", "weight", "work",
    )  # fmt: skip

    def __init__(self, work: W, call: Call, weight: int, callers: Callers) -> None:
        self.work = work
        self.call = call
        self.weight = weight
        self.callers = callers
        first = callers[0][0]
        self.priority = first.priority
        self.deadline = (
            first.deadline if len(callers) == 1 else max(origin.deadline for origin, _ in callers)
        )
        self.submitted = time.monotonic()
        self.sent = 0.0
        self.future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

    @property
    def held(self) -> float:
        """Seconds before it went out."""
        return self.sent - self.submitted

    def fail(self, error: TriptychError) -> None:
        """End with an error, unless nobody waits any more."""
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(slots=True)
class Group:
    """Entries that go out in one call, for the `attempt`th time, rather not to `avoid`."""

    entries: "list[Entry[Any, Any]]"
    attempt: int = FIRST
    avoid: Any = None

    @property
    def weight(self) -> int:
        """Of all entries together."""
        return sum(entry.weight for entry in self.entries)

    def living(self) -> "list[Entry[Any, Any]]":
        """Entries that somebody still waits for."""
        return [entry for entry in self.entries if not entry.future.done()]

    def go(self, now: float) -> None:
        """It goes out."""
        for entry in self.entries:
            entry.sent = now

    def resolve(self, results: Sequence[Any]) -> None:
        """Give every entry its result, unless nobody waits any more."""
        for entry, result in zip(self.entries, results, strict=True):
            if not entry.future.done():
                entry.future.set_result(result)

    def fail(self, error: TriptychError) -> None:
        """End every entry with an error of its own: raised in several places, one would keep
        the frames of all of them.
        """
        for entry in self.entries:
            entry.fail(copy.copy(error))

    def cancel_with(self, task: "asyncio.Task[None]") -> None:
        """Cancel the task that makes the call when the last of the entries has been."""
        waiting = len(self.entries)

        def gone(future: "asyncio.Future[Any]") -> None:
            nonlocal waiting
            waiting -= future.cancelled()
            if not waiting:
                task.cancel()

        for entry in self.entries:
            entry.future.add_done_callback(gone)
