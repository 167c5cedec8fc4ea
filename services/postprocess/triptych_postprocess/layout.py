"""Where the tokens of sequences stand in their texts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.windows import Rows, Spans, best_seen, changes, run_starts


@dataclass(frozen=True, slots=True)
class Sequences:
    """S sequences and the items that they are, or are windows of."""

    lengths: NDArray[np.int32]
    """[S]: tokens of each, at least 1"""
    item: Rows
    """[S]: ascending from 0 without a gap"""
    start: Rows | None = None
    """[S]: first token of each window in its text, special ones not counted; None where that is not
    known, which matters for windows only"""

    @property
    def items(self) -> int:
        """Number of items."""
        return int(self.item[-1]) + 1

    @property
    def windowed(self) -> bool:
        """Whether an item has several."""
        return self.items < len(self.item)

    @property
    def first_rows(self) -> Rows:
        """[N]: first sequence of each item."""
        return run_starts(self.item)


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tokens of sequences stand."""

    sequences: Sequences
    offsets: NDArray[np.int32]
    """[T, 2]: in code points of the item's text"""
    special: NDArray[np.bool_]
    """[T]"""
    word_ids: NDArray[np.int32] | None
    """[T]: negative where a token is of no word; needed for aggregations by word"""

    @property
    def spans(self) -> Spans | None:
        """Where windows lie in their texts; None where every item is one sequence."""
        sequences = self.sequences
        if sequences.start is None or not sequences.windowed:
            return None
        counts = np.add.reduceat(~self.special, run_starts(self._owner), dtype=np.int64)
        return Spans(sequences.item, sequences.start, counts)

    @property
    def _owner(self) -> Rows:
        """[T]: the sequence of each token."""
        lengths = self.sequences.lengths
        return np.repeat(np.arange(len(lengths)), lengths)

    def once(self) -> "Once":
        """Every token of the texts."""
        rows, spans = np.flatnonzero(~self.special), self.spans
        if spans is None:
            return Once(rows, rows, self._owner[rows])
        best, text = best_seen(spans)
        return Once(rows[best], np.arange(len(best)), text)


@dataclass(frozen=True, slots=True)
class Once:
    """The K tokens of the texts, each once and in their order."""

    index: Rows
    """[K]: which of all tokens"""
    place: Rows
    """[K]: neighbours in a text have neighbouring numbers"""
    text: Rows
    """[K]: number of the text"""

    def only(self, kept: NDArray[np.bool_]) -> "Once":
        """Those for which [K] is true."""
        return Once(self.index[kept], self.place[kept], self.text[kept])

    @property
    def runs(self) -> Rows:
        """[K]: number of the run that each is in; another text or a token left out ends a run."""
        # where a token is left out, the distance to the count of those kept grows
        gaps = self.place - np.arange(len(self.place))
        return np.cumsum(changes(self.text) | changes(gaps))
