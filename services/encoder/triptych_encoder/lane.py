"""One model's place in the dispatcher: its backend, its queue, and who shares a computation."""

from collections.abc import Callable

from triptych_encoder.backend import Backend
from triptych_encoder.cost import CostModel
from triptych_encoder.entry import Claim, Entry, Key
from triptych_encoder.queue import LengthQueue


class Lane:
    """A sequence that equals one which waits or is being computed does not wait itself: it shares.

    `claimed_tokens` counts every claim's tokens, shared or not: the memory that callers hold, where
    `queue.tokens` is the work ahead. `alone` makes the runs that have the machine to themselves,
    where that is another backend.
    """

    def __init__(
        self, backend: Backend, max_length: int, costs: CostModel, alone: Backend | None = None
    ) -> None:
        self.backend = backend
        self.alone = alone or backend
        self.costs = costs
        self.queue = LengthQueue(max_length)
        self.claimed_tokens = 0
        self._entries: dict[Key, Entry] = {}
        self._max_ranges = 1 + backend.max_segments

    @property
    def joinable(self) -> int:
        """Entries, waiting or running, that an equal one would join."""
        return len(self._entries)

    def close(self) -> None:
        """Release the graph, or both."""
        try:
            self.backend.close()
        finally:
            if self.alone is not self.backend:
                self.alone.close()

    def add(self, entry: Entry) -> bool:
        """Queue an entry, or let an equal one serve its claims; whether it was queued."""
        self.claimed_tokens += entry.length * len(entry.claims)
        held = self._entries.get(entry.key)
        if held is not None and self._serves(held, entry):
            self._join(held, entry)
            return False
        self._entries[entry.key] = entry
        self.queue.add(entry)
        return True

    def _serves(self, held: Entry, entry: Entry) -> bool:
        """Whether one run is enough for both."""
        ranges = held.ranges + entry.ranges - 1
        return ranges <= self._max_ranges and all(map(held.serves, entry.claims))

    def _join(self, held: Entry, entry: Entry) -> None:
        held.claims += entry.claims
        held.ranges += entry.ranges - 1
        if not held.taken and entry.due < held.due:
            self.queue.promote(held, entry.priority, entry.due)

    def keep(self, entry: Entry, wanted: Callable[[Claim], bool]) -> bool:
        """Drop the claims that are not `wanted`; whether the entry still has any."""
        living = list(filter(wanted, entry.claims))
        if len(living) == len(entry.claims):
            return True
        self.claimed_tokens -= entry.length * (len(entry.claims) - len(living))
        entry.claims = living
        if not living:
            self.release(entry)
        return bool(living)

    def release(self, entry: Entry) -> None:
        """Forget an entry that is done: nobody can join it any more."""
        self.claimed_tokens -= entry.length * len(entry.claims)
        # where its run had begun without an output that was then asked for, another took its place
        if self._entries.get(entry.key) is entry:
            del self._entries[entry.key]
