"""What waits to go out: a queue for each call, those that are most urgent first."""

import math
from collections import deque
from collections.abc import Iterator
from typing import Any

from triptych_gateway.entries import Call, Entry


class Pending:
    """Entries that wait, by the call that they share. `weight` is that of all of them."""

    def __init__(self) -> None:
        self._queues: dict[Call, _Queue] = {}
        self.weight = 0

    def add(self, entry: Entry[Any, Any]) -> None:
        """Let an entry wait."""
        queue = self._queues.get(entry.call)
        if queue is None:
            queue = self._queues[entry.call] = _Queue()
        queue.append(entry)
        queue.weight += entry.weight
        self.weight += entry.weight

    def most_urgent(self) -> Call | None:
        """The call whose first entry comes first by priority, then by deadline."""
        return min(self._queues, key=self._order, default=None)

    def weight_of(self, call: Call) -> int:
        """What waits for a call."""
        return self._queues[call].weight

    def since(self, call: Call) -> float:
        """When the first of a call's entries began to wait, on the clock of `time.monotonic`."""
        return self._queues[call][0].submitted

    def take(self, call: Call, full: int, room: float = math.inf) -> Iterator[Entry[Any, Any]]:
        """Entries of a call, first come first, that weigh no more than `full` and `room` together.

        The first goes even if it is more than full. Those that nobody waits for any more are
        dropped.
        """
        queue, taken = self._queues[call], 0
        while queue and taken + queue[0].weight <= (min(full, room) if taken else room):
            entry = queue.popleft()
            queue.weight -= entry.weight
            self.weight -= entry.weight
            if not entry.future.done():
                taken += entry.weight
                yield entry
        if not queue:
            del self._queues[call]

    def clear(self) -> list[Entry[Any, Any]]:
        """Take everything."""
        entries = [entry for queue in self._queues.values() for entry in queue]
        self._queues.clear()
        self.weight = 0
        return entries

    def _order(self, call: Call) -> tuple[int, float]:
        first = self._queues[call][0]
        return first.priority, first.deadline


class _Queue(deque[Entry[Any, Any]]):
    """Entries of one call and what they weigh together."""

    weight = 0
