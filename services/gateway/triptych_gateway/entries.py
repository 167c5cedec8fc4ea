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

FIRST: Final = 0
RETRY: Final = 1
ALONE: Final = 2


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


class StageCall(Protocol):
    """What the entries of a call have in common, and the call itself. Hashable: it is the key."""

    async def __call__(self, replica: Any, entries: "Sequence[Entry[Any, Any]]") -> Sequence[Any]:
        """A result for each entry, in order."""


@dataclass(frozen=True, slots=True)
class Window:
    """Bounds per replica: calls and weight in flight, and the weight at which a call is full.

    A `patient` one has another call in flight only beside calls that are half full or more: smaller
    ones come back within a few milliseconds, and what waits for them shares the next.
    """

    calls: int
    weight: int
    call_weight: int
    patient: bool = False

    def has_room(self, replica: Replica) -> bool:
        """Whether another call may go out to a replica."""
        if self.patient and 2 * replica.weight < replica.calls * self.call_weight:
            return False
        return replica.calls < self.calls


class Entry(Generic[W, R]):
    """One request's part of a call.

    `weight` is in tokens for the encoder, in characters for the tokenizer, else in items.
    `submitted` and `sent` are on the clock of `time.monotonic`; `sent` is 0 until it has gone out.
    """

    __slots__ = ("call", "future", "origin", "sent", "submitted", "weight", "work")

    def __init__(self, work: W, call: StageCall, weight: int, origin: Origin) -> None:
        self.work = work
        self.call = call
        self.weight = weight
        self.origin = origin
        self.submitted = time.monotonic()
        self.sent = 0.0
        self.future: asyncio.Future[R] = asyncio.get_running_loop().create_future()

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
