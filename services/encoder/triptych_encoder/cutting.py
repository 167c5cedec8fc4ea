"""How waiting sequences are cut into calls: what each call pads, against what a call more costs.

Sequences of a queue, sorted by length, are cut where the sum over all calls of `rows * width`, plus
the price of each call, is least. Of that cut only the call around one sequence is asked for, and
what stands far from it in the order hardly moves the cut there; so only its neighbours are looked
at, and the effort does not grow with the queue.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]

Run = tuple[int, int]
"""A length in tokens, and how many sequences have it."""


def call_around(counts: Counts, anchor: int, budget: int, call_tokens: float) -> list[Run]:
    """The lengths that run together with one of `anchor` tokens, and how many of each.

    `counts[n]` sequences of n tokens wait, that one among them. The call's padded area stays within
    `budget`, unless a single sequence is larger.
    """
    full = max(1, budget // anchor)
    if counts[anchor] >= full:
        return [(anchor, full)]  # nothing padded, and no call can be fuller
    runs = _neighbours(counts, anchor, budget)
    starts = _cheapest_cut(runs, budget, call_tokens)
    end = len(runs)
    while runs[starts[end]][0] > anchor:
        end = starts[end]
    return runs[starts[end] : end]


def _neighbours(counts: Counts, anchor: int, budget: int) -> list[Run]:
    """The runs about `anchor` in the order of their lengths, a budget's worth on either side.

    Equal sequences that fill a call of their own are left out of it: they pad nothing.
    """
    lengths = np.flatnonzero(counts)
    rows = counts[lengths]
    rows = np.where(lengths == anchor, rows, rows % np.maximum(budget // lengths, 1))
    present = rows > 0
    lengths, rows = lengths[present], rows[present]
    before = np.cumsum(lengths * rows)
    here = before[np.searchsorted(lengths, anchor)]
    near = np.abs(before - here) <= budget
    return list(zip(lengths[near].tolist(), rows[near].tolist(), strict=True))


def _cheapest_cut(runs: Sequence[Run], budget: int, call_tokens: float) -> list[int]:
    """For each number of leading runs, where the last call of their cheapest cut starts."""
    costs, starts = [0.0], [0]
    for end in range(1, len(runs) + 1):
        width, rows = runs[end - 1][0], 0
        cost, start = math.inf, end - 1
        for first in range(end - 1, -1, -1):
            rows += runs[first][1]
            area = rows * width
            if area > budget and first < end - 1:
                break
            if costs[first] + area < cost:
                cost, start = costs[first] + area, first
        costs.append(cost + call_tokens)
        starts.append(start)
    return starts
