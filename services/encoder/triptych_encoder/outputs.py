"""What a call asks of a pass, and how the graph's rows become the rows of its answer.

S sequences of T tokens in all; an output of the graph is `width` numbers wide.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT, Bundle

Array = NDArray[Any]
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
        result[indices] = values[rows]

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


class SegmentRows:
    """One row for each of K segments of a sequence's tokens, pooled here.

    `segments` is int32 [K, 3]: sequence, first token, token after the last.
    """

    def __init__(self, segments: NDArray[np.int32], sequences: int, pooling: str) -> None:
        self.count = len(segments)
        self._segments = segments
        self._pooling = pooling
        self._order = np.argsort(segments[:, 0], kind="stable")
        owners = segments[self._order, 0]
        self._bounds: list[int] = np.searchsorted(owners, np.arange(sequences + 1)).tolist()

    def write(
        self, result: Array, indices: Sequence[int], values: Any, rows: Sequence[int]
    ) -> None:
        """See Rows. `values` [B][S, width] are hidden states."""
        for index, row in zip(indices, rows, strict=True):
            own = self._order[self._bounds[index] : self._bounds[index + 1]]
            if len(own):
                first, end = self._segments[own, 1], self._segments[own, 2]
                result[own] = pool_segments(values[row], first, end, self._pooling)

    def of(self, sequences: Bools) -> Bools:
        """See Rows."""
        return sequences[self._segments[:, 0]]


def pool_segments(
    hidden: Array, first: NDArray[np.int32], end: NDArray[np.int32], pooling: str
) -> Array:
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
