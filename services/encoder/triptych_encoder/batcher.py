"""Which entries share the next run of the graph.

The entry that is due first anchors the batch, so nothing starves. What it brings along is decided
by what runs cost on the backend that serves.
"""

import math
from typing import Final

from triptych_encoder.cost import CostModel
from triptych_encoder.entry import Entry
from triptych_encoder.queue import LengthQueue

# A batch is split over idle workers while each part is worth this many calls: the shorter wait is
# bought with a third of the arithmetic at most, on cores that had nothing to do.
MIN_SHARE_CALLS: Final = 2


class Batcher:
    """Takes batches from a queue, of an area of at most `max_batch_tokens`; 0: as the costs say."""

    def __init__(self, max_batch_tokens: int) -> None:
        self._max_batch_tokens = max_batch_tokens

    def take(self, queue: LengthQueue, costs: CostModel, idle_workers: int = 1) -> list[Entry]:
        """The next batch, anchor first; empty when the queue is.

        With several idle workers a queue too small for all of them is shared among them, where
        they compute beside each other.
        """
        anchor = queue.oldest()
        if anchor is None:
            return []
        return costs.take(queue, anchor, self._budget(queue.tokens, costs, idle_workers))

    def _budget(self, tokens: int, costs: CostModel, idle_workers: int) -> int:
        limit = self._max_batch_tokens or costs.batch_tokens
        if idle_workers <= 1 or not costs.splits:
            return limit
        share = max(tokens / idle_workers, MIN_SHARE_CALLS * costs.call_tokens)
        return min(limit, math.ceil(share))
