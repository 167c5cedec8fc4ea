"""The queue of one model: entries by length, and the one whose turn it is."""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.entry import PRIORITY_DELAY, Entry


class LengthQueue:
    """Entries in two orders: by length, to batch equals, and by due time, to starve none.

    `counts[n]` is the number of entries of n tokens. Adding and taking an entry cost the same
    however long the queue is.
    """

    def __init__(self, max_length: int) -> None:
        self.counts: NDArray[np.int64] = np.zeros(max_length + 1, np.int64)
        self.tokens = 0
        # of the lengths that have come: most of a long range never do
        self._by_length: defaultdict[int, deque[Entry]] = defaultdict(deque)
        self._by_due: dict[int, deque[Entry]] = {priority: deque() for priority in PRIORITY_DELAY}

    def __len__(self) -> int:
        return int(self.counts.sum())

    def add(self, entry: Entry) -> None:
        """Put an entry behind those of its length and priority."""
        self._by_length[entry.length].append(entry)
        self._by_due[entry.priority].append(entry)
        self.counts[entry.length] += 1
        self.tokens += entry.length

    def promote(self, entry: Entry, priority: int, due: float) -> None:
        """Make a waiting entry due earlier, as the newest of a more urgent class."""
        entry.priority, entry.due = priority, due
        # its old place stays: it comes to the head there or is dropped there, whichever is first
        self._by_due[priority].append(entry)

    def oldest(self) -> Entry | None:
        """The entry that is due first; None when the queue is empty."""
        heads = [head for queue in self._by_due.values() if (head := _head(queue))]
        return min(heads, key=lambda entry: entry.due, default=None)

    def take(self, anchor: Entry, runs: Iterable[tuple[int, int]]) -> list[Entry]:
        """Take out this entry, wherever it stands, and others that make these numbers of lengths.

        `runs` are lengths and how many of each, the anchor's own included; the first to come are
        the first to go.
        """
        self._remove(anchor)
        taken = [anchor]
        for length, count in runs:
            wanted = count - (length == anchor.length)
            waiting = self._by_length[length]
            while wanted and (entry := _head(waiting)):
                self._remove(entry)
                taken.append(entry)
                wanted -= 1
            self._forget(length)
        return taken

    def take_oldest(self, anchor: Entry, tokens: int, ranges: int) -> list[Entry]:
        """Take out this entry and those due first, as many as have so much together.

        The first that does not fit ends it, so that a long one is not overtaken again and again.
        """
        self._remove(anchor)
        taken, tokens, ranges = [anchor], tokens - anchor.length, ranges - anchor.ranges
        for entry in self._in_turn():
            if entry.length > tokens or entry.ranges > ranges:
                break
            self._remove(entry)
            taken.append(entry)
            tokens -= entry.length
            ranges -= entry.ranges
        for length in {entry.length for entry in taken}:
            self._forget(length)
        return taken

    def _in_turn(self) -> Iterator[Entry]:
        """All entries as they are due; each has to be taken before the next is asked for."""
        while classes := sorted(filter(_head, self._by_due.values()), key=lambda each: each[0].due):
            first, *others = classes
            until = others[0][0].due if others else math.inf
            while (entry := _head(first)) and entry.due <= until:
                yield entry

    def _forget(self, length: int) -> None:
        """Let go of those of a length that are taken."""
        _head(self._by_length[length])

    def _remove(self, entry: Entry) -> None:
        # Only marked: the other queue it stands in drops it once it comes to the head there.
        entry.taken = True
        self.counts[entry.length] -= 1
        self.tokens -= entry.length


def _head(queue: deque[Entry]) -> Entry | None:
    while queue and queue[0].taken:
        queue.popleft()
    return queue[0] if queue else None
