"""Which entries share the next run of the graph.

The entry that is due first anchors the batch, so nothing starves. The rest are the entries of at
most some length, longest first, as many as the token budget holds. The length is chosen so that a
run gives the most useful tokens for what it costs: its padded area plus the price of a run.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.entry import Entry
from triptych_encoder.queue import LengthQueue

Counts = NDArray[np.int64]

# A batch is not split over idle workers below this size: 8 x 16 tokens already run at 92 % of the
# best rate.
MIN_SHARE_TOKENS: Final = 128


class Batcher:
    """Takes batches from a queue. All sizes are in tokens."""

    def __init__(self, max_batch_tokens: int, run_overhead_tokens: int) -> None:
        self._max_batch_tokens = max_batch_tokens
        self._overhead = run_overhead_tokens

    def take(self, queue: LengthQueue, idle_workers: int = 1) -> list[Entry]:
        """The next batch, anchor first; empty when the queue is.

        With several idle workers a queue too small for all of them is shared among them.
        """
        anchor = queue.oldest()
        if anchor is None:
            return []
        share = max(MIN_SHARE_TOKENS, queue.tokens // max(1, idle_workers))
        budget = min(self._max_batch_tokens, share)
        queue.take(anchor)
        if not queue.tokens:
            return [anchor]
        width, rows = self._shape(queue.counts, anchor.length, budget)
        return [anchor, *queue.take_longest(width, rows - 1)]

    def _shape(self, counts: Counts, anchor: int, budget: int) -> tuple[int, int]:
        """Longest sequence and number of rows of the best batch around an anchor's length."""
        present = counts[anchor:] > 0
        present[0] = True  # the anchor itself, which is out of the queue already
        widths = np.flatnonzero(present) + anchor
        widths = widths[(widths == anchor) | (2 * widths <= budget)]
        below = np.cumsum(counts)
        others = np.minimum(np.maximum(budget // widths, 1) - 1, below[widths])
        useful = anchor + _longest_tokens(counts, below, widths, others)
        cost = (others + 1) * widths + self._overhead
        best = int(np.argmax(useful / cost))
        return int(widths[best]), int(others[best]) + 1


def _longest_tokens(counts: Counts, below: Counts, widths: Counts, rows: Counts) -> Counts:
    """Tokens of the `rows` longest entries of at most `widths` tokens, element by element.

    `below[n]` is the number of entries of at most n tokens. The sum is what all of them have, less
    what the shortest, who stay behind, have.
    """
    tokens = np.cumsum(counts * np.arange(len(counts)))
    left = below[widths] - rows
    cut = np.searchsorted(below, left)  # the length at which the last who stays behind stands
    shorter = np.where(cut > 0, cut - 1, 0)
    fewer = np.where(cut > 0, below[shorter], 0)
    behind = np.where(cut > 0, tokens[shorter], 0) + (left - fewer) * cut
    useful: Counts = tokens[widths] - behind
    return useful
