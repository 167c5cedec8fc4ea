"""What a call asks of a pass, and how the graph's rows become the rows of its answer.

S sequences of T tokens in all; an output of the graph is `width` numbers wide.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT, Bundle

Array = NDArray[Any]
Ints = NDArray[np.int32]
Numbers: TypeAlias = slice | Sequence[int]
Bools = NDArray[np.bool_]


class Rows(Protocol):
    """Which rows of a result belong to which sequence."""

    @property
    def count(self) -> int:
        """Rows in all."""

    def write(
        self, result: Array, indices: Sequence[int], values: Any, rows: Sequence[int]
    ) -> None:
        """Write the rows of sequences `indices` from those of these sequences of a batch."""

    def of(self, sequences: Bools) -> Bools:
        """[count]: the rows of the sequences for which [S] is true."""


class SequenceRows:
    """One row a sequence: pooled vectors, logits."""

    def __init__(self, count: int) -> None:
        self.count = count

    def write(
        self, result: Array, indices: Sequence[int], values: Any, rows: Sequence[int]
    ) -> None:
        """See Rows. `values` [B, width]."""
        result[span(indices)] = values[span(rows)]

    def of(self, sequences: Bools) -> Bools:
        """See Rows."""
        return sequences


class TokenRows:
    """One row a token, sequence after sequence: hidden states, logits of tokens."""

    def __init__(self, lengths: NDArray[np.int32]) -> None:
        ends = np.cumsum(lengths, dtype=np.int64)
        self.count = int(ends[-1])
        self._lengths = lengths
        self._starts: list[int] = (ends - lengths).tolist()

    def write(
        self, result: Array, indices: Sequence[int], values: Any, rows: Sequence[int]
    ) -> None:
        """See Rows. `values` [B][S, width], padding after a sequence's tokens."""
        for index, row in zip(indices, rows, strict=True):
            start, length = self._starts[index], int(self._lengths[index])
            result[start : start + length] = values[row][:length]

    def of(self, sequences: Bools) -> Bools:
        """See Rows."""
        rows: Bools = np.repeat(sequences, self._lengths)
        return rows


class Segments:
    """K segments of sequences' tokens, by sequence.

    `segments` is int32 [K, 3]: sequence, first token, token after the last.
    """

    def __init__(self, segments: Ints, sequences: int) -> None:
        self.count = len(segments)
        self._segments = segments
        self._order = np.argsort(segments[:, 0], kind="stable")
        owners = segments[self._order, 0]
        self._bounds: list[int] = np.searchsorted(owners, np.arange(sequences + 1)).tolist()

    def own(self, sequence: int) -> NDArray[np.intp]:
        """Which of the K are a sequence's."""
        return self._order[self._bounds[sequence] : self._bounds[sequence + 1]]

    def of(self, sequences: Bools) -> Bools:
        """See Rows."""
        return sequences[self._segments[:, 0]]


class RangeRows(Segments):
    """One row for each segment, pooled in the run as a range of its tokens."""

    def ranges(self, sequence: int) -> Ints:
        """Those of a sequence, [k, 2]: the first token and the last, counted from its start."""
        return self._segments[self.own(sequence), 1:] - np.array([0, 1], np.int32)

    def count_of(self, sequence: int) -> int:
        """How many a sequence has."""
        return self._bounds[sequence + 1] - self._bounds[sequence]

    def write(
        self, result: Array, indices: Sequence[int], values: Any, rows: Sequence[int]
    ) -> None:
        """See Rows. `values` [R, width] of ranges; `rows` are those of the sequences' first."""
        for index, row in zip(indices, rows, strict=True):
            result[self.own(index)] = values[row : row + self.count_of(index)]


class SegmentRows(Segments):
    """One row for each segment, pooled here from hidden states."""

    def __init__(self, segments: Ints, sequences: int, pooling: str) -> None:
        super().__init__(segments, sequences)
        self._pooling = pooling

    def write(
        self, result: Array, indices: Sequence[int], values: Any, rows: Sequence[int]
    ) -> None:
        """See Rows. `values` [B][S, width] are hidden states."""
        for index, row in zip(indices, rows, strict=True):
            own = self.own(index)
            if len(own):
                first, end = self._segments[own, 1], self._segments[own, 2]
                result[own] = pool_segments(values[row], first, end, self._pooling)


def span(numbers: Sequence[int]) -> Numbers:
    """Consecutive numbers as a slice, by which rows are copied several times as fast."""
    first, count = numbers[0], len(numbers)
    if numbers[-1] - first != count - 1 or list(numbers) != list(range(first, first + count)):
        return numbers
    return slice(first, first + count)


def pool_segments(hidden: Array, first: Ints, end: Ints, pooling: str) -> Array:
    """Vectors [K, H] of the tokens from `first` to before `end` [K] of one sequence [S, H].

    A mean costs the same however much the segments overlap: it is a difference of sums over all
    tokens before, which float64 keeps exact enough for float32.
    """
    if pooling == "cls":
        return hidden[first]
    if pooling == "last_token":
        return hidden[end - 1]
    tokens = int(end.max())
    sums = np.zeros((tokens + 1, hidden.shape[1]))
    np.cumsum(hidden[:tokens], axis=0, dtype=np.float64, out=sums[1:])
    means: Array = (sums[end] - sums[first]) / (end - first)[:, None]
    return means


@dataclass(frozen=True, slots=True)
class Output:
    """One output of a call: `rows` of the graph's output `source`, in the type of the answer."""

    source: str
    rows: Rows
    width: int
    dtype: np.dtype[np.floating[Any]]

    @property
    def size(self) -> int:
        """Bytes of the result."""
        return self.rows.count * self.width * self.dtype.itemsize

    def allocate(self) -> Array:
        """An array [rows, width] for the result."""
        return np.empty((self.rows.count, self.width), self.dtype)


def output_widths(bundle: Bundle, graph_outputs: Collection[str]) -> Mapping[str, int]:
    """Numbers a row of each output that both the bundle and its graph have."""
    labels = len(bundle.head.labels) if bundle.head else 0
    known = {LOGITS_OUTPUT: labels, TOKEN_LOGITS_OUTPUT: len(bundle.token_labels)}
    return {
        name: known.get(name, bundle.hidden_size)
        for name in bundle.outputs
        if name in graph_outputs
    }
