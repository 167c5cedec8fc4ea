"""Items of several windows: which rows are whose, and what overlapping windows show twice.

S windows of N items, T tokens in all.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_servicekit.errors import InvalidArgument

Rows = NDArray[np.int64]

# Farther than any text: where a text ends there is no more of it to be seen.
FAR: Final = np.iinfo(np.int64).max


@dataclass(frozen=True, slots=True)
class Windows:
    """Which rows belong to which item."""

    first_rows: Rows
    """[N]: first row of each item"""
    token_counts: NDArray[np.int32]
    """[S]: tokens behind each row, its weight"""

    @property
    def owner(self) -> Rows:
        """[S]: the item of each row."""
        counts = np.diff(self.first_rows, append=len(self.token_counts))
        return np.repeat(np.arange(len(self.first_rows)), counts)

    def only(self, rows: NDArray[np.bool_]) -> "Windows":
        """Those rows alone for which [S] is true, of items of which all are or none is."""
        return Windows(run_starts(self.owner[rows]), self.token_counts[rows])


def group_windows(
    item_index: NDArray[np.int32],
    token_counts: NDArray[np.int32] | None,
    field: str = "item_index",
) -> Windows:
    """Windows of [S] item indices, which must ascend from 0 without a gap; `field` is their place.

    Without token counts all windows weigh the same. Raises InvalidArgument.
    """
    steps = np.diff(item_index, prepend=np.int32(-1))
    if not len(steps) or steps[0] != 1 or not np.isin(steps, (0, 1)).all():
        message = f"{field} must begin with 0 and ascend by 0 or 1"
        raise InvalidArgument(message, field=field)
    if token_counts is None:
        token_counts = np.ones(len(item_index), np.int32)
    if token_counts.shape != item_index.shape or token_counts.min() < 1:
        message = "token_counts must hold a positive number for each vector"
        raise InvalidArgument(message, field="token_counts")
    return Windows(np.flatnonzero(steps), token_counts)


@dataclass(frozen=True, slots=True)
class Spans:
    """Where in their texts windows lie, in tokens of the text."""

    item: Rows
    """[S]: ascending from 0 without a gap"""
    start: Rows
    """[S]: first token of each"""
    count: Rows
    """[S]: tokens of each"""

    @property
    def stop(self) -> Rows:
        """[S]: token after the last of each."""
        return self.start + self.count

    def closed(self) -> bool:
        """Whether each text begins with its first window, and no window leaves a gap behind it."""
        first = np.diff(self.item, prepend=-1) != 0
        before = np.where(first, 0, np.roll(self.start, 1))
        until = np.where(first, 0, np.roll(self.stop, 1))
        return bool(((before <= self.start) & (self.start <= until)).all())


def best_seen(spans: Spans) -> tuple[Rows, Rows]:
    """Every token of every text once, in their order: its row among those of all windows, and item.

    Of several windows that is the one where it has most of the text around it: where the nearer of
    the window's ends is farthest, not counting an end that is the text's own. Of equals the first.
    `spans` must be `closed`.
    """
    firsts = run_starts(spans.item)
    sizes = np.maximum.reduceat(spans.stop, firsts)
    window = np.repeat(np.arange(len(spans.item)), spans.count)
    rank = np.arange(len(window)) - (np.cumsum(spans.count) - spans.count)[window]
    place = ((np.cumsum(sizes) - sizes)[spans.item] + spans.start)[window] + rank
    left = np.where(spans.start[window] > 0, rank, FAR)
    ends_inside = (spans.stop < sizes[spans.item])[window]
    right = np.where(ends_inside, spans.count[window] - 1 - rank, FAR)
    rows = _first_of_the_most(np.minimum(left, right), place, int(sizes.sum()))
    return rows, np.repeat(np.arange(len(sizes)), sizes)


def _first_of_the_most(values: Rows, groups: Rows, count: int) -> Rows:
    """[count]: the first row of each group with its highest value; every group has a row."""
    most = np.full(count, -1, np.int64)
    np.maximum.at(most, groups, values)
    rows = np.flatnonzero(values == most[groups])
    first = np.full(count, len(values), np.int64)
    np.minimum.at(first, groups[rows], rows)
    return first


def run_starts(column: NDArray[np.integer]) -> Rows:
    """Where a column's runs of equal values begin."""
    return np.flatnonzero(changes(column))


def changes(column: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Where a value differs from the one before it; the first always does."""
    changed = np.ones(len(column), bool)
    changed[1:] = column[1:] != column[:-1]
    return changed
