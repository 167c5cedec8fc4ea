"""Pieces of sequences: of which tokens they are, and where these stand in their texts."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.layout import Ints
from triptych_gateway.reading import Windows
from triptych_gateway.windowing import Windowing
from triptych_servicekit.errors import InvalidArgument

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Segments:
    """K pieces [K] of sequences, ascending: their tokens, and their first and last code points.

    `last` and `end` are exclusive, and `first` counts from the first token of the sequence.
    """

    sequence: Rows
    first: Rows
    last: Rows
    start: Ints
    end: Ints

    def columns(self) -> Ints:
        """[K, 3], as the encoder has them."""
        return np.stack([self.sequence, self.first, self.last], axis=1).astype(np.int32)

    def of(self, sequences: NDArray[np.bool_]) -> "Segments":
        """Those of the sequences for which this is true, counted among these."""
        kept = sequences[self.sequence]
        place = np.cumsum(sequences) - 1
        return Segments(
            place[self.sequence[kept]],
            self.first[kept],
            self.last[kept],
            self.start[kept],
            self.end[kept],
        )


@dataclass(frozen=True, slots=True)
class Texts:
    """Of S sequences, where between their special tokens their text is."""

    begins: Rows
    """[S]: its first token, counted from that of the sequence"""
    counts: Rows
    """[S]: tokens of it"""
    special: Rows
    """[S]: special tokens"""

    @classmethod
    def of(cls, windows: Windows) -> "Texts":
        """Those of windows, whose layout is known."""
        lengths = windows.sequences.lengths.astype(np.int64)
        mask = _known(windows.tokens.special_tokens_mask) != 0
        ends = np.cumsum(lengths)
        row = np.arange(len(mask)) - np.repeat(ends - lengths, lengths)
        begins = np.minimum.reduceat(np.where(mask, np.iinfo(np.int64).max, row), ends - lengths)
        special = np.add.reduceat(mask, ends - lengths, dtype=np.int64)
        # where there is no text all tokens stand for it
        empty = special == lengths
        return cls(np.where(empty, 0, begins), lengths - np.where(empty, 0, special), special)


def whole(windows: Windows) -> Segments:
    """Each window as one piece."""
    texts = Texts.of(windows)
    return _placed(windows, np.arange(len(texts.counts)), texts.begins, texts.counts)


def cut(windows: Windows, windowing: Windowing) -> tuple[Segments, NDArray[np.bool_]]:
    """The pieces of sequences that would be windows, and which sequences have no more than allowed.

    Raises InvalidArgument where `stride` leaves a window no room to go on.
    """
    texts = Texts.of(windows)
    room = windowing.length - texts.special
    step = room - windowing.stride
    if step.min() < 1:
        message = f"stride must be below {room[step.argmin()]}, a window's room for text"
        raise InvalidArgument(message, field="stride")
    pieces = 1 - (-np.maximum(texts.counts - room, 0) // step)
    fits = pieces <= windowing.most
    pieces = np.where(fits, pieces, 0)
    sequence = np.repeat(np.arange(len(pieces)), pieces)
    after = (np.arange(len(sequence)) - (np.cumsum(pieces) - pieces)[sequence]) * step[sequence]
    count = np.minimum(room[sequence], texts.counts[sequence] - after)
    return _placed(windows, sequence, texts.begins[sequence] + after, count), fits


def _placed(windows: Windows, sequence: Rows, first: Rows, count: Rows) -> Segments:
    lengths = windows.sequences.lengths.astype(np.int64)
    offsets, row = _known(windows.tokens.offsets), (np.cumsum(lengths) - lengths)[sequence] + first
    last = row + count - 1
    return Segments(sequence, first, first + count, offsets[row, 0], offsets[last, 1])


def _known(column: Ints | None) -> Ints:
    assert column is not None  # noqa: S101 (asked for by `layout`)
    return column
