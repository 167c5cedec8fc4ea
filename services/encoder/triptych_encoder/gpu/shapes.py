"""The sizes that a run has: its own, or those of a bucket, whose graph is captured beforehand."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from triptych_encoder.backend import RaggedBatch

# Kernels that add a bias to the scores read widths that are multiples of it.
WIDTH_MULTIPLE: Final = 16
# Tokens of the buckets. Above, a run takes so long that launching its kernels one by one is hidden;
# the steps keep what is computed for nothing below a third.
BUCKETS: Final[Sequence[int]] = (256, 512, 768, 1024, 1536, 2048, 3072, 4096)
# A bucket has a row for so many of its tokens: of shorter sequences it would have too few.
TOKENS_A_ROW: Final = 8


@dataclass(frozen=True, slots=True)
class Shape:
    """T `tokens`, B `rows` of at most S tokens (`width`), R `ranges` to pool."""

    tokens: int
    rows: int
    width: int
    ranges: int

    def __le__(self, other: "Shape") -> bool:
        """Whether it fits into memory that was taken for the other."""
        grid, room = self.rows * self.width, other.rows * other.width
        return (
            self.tokens <= other.tokens
            and self.rows <= other.rows
            and grid <= room
            and self.ranges <= other.ranges
        )


def shape_of(batch: RaggedBatch) -> Shape:
    """The sizes that a batch has by itself; its ranges are its sequences."""
    rows = len(batch.lengths)
    return Shape(int(batch.lengths.sum()), rows, round_up(int(batch.lengths.max())), rows)


def largest(tokens: int, rows: int, max_length: int) -> Shape:
    """What memory is taken for: the most that a batch may have of everything."""
    longest = round_up(max_length)
    return Shape(max(tokens, longest), rows, longest, rows)


def buckets(max_length: int, limit: Shape) -> Sequence[Shape]:
    """The buckets of a model whose sequences have at most `max_length` tokens, smallest first."""
    shapes = []
    for tokens in BUCKETS:
        rows = tokens // TOKENS_A_ROW
        shape = Shape(tokens, rows, min(round_up(max_length), tokens), rows)
        if shape <= limit:
            shapes.append(shape)
    return shapes


def fit(shape: Shape, among: Sequence[Shape]) -> Shape | None:
    """The smallest bucket that holds a batch, with rows to spare for the padding; None is none."""
    for bucket in among:
        spare = bucket.tokens - shape.tokens
        padding_rows = -(-spare // bucket.width)
        if spare >= 0 and shape.width <= bucket.width and shape.rows + padding_rows <= bucket.rows:
            return bucket
    return None


def round_up(length: int) -> int:
    """To the next width that a run may have."""
    return -(-length // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def full(shape: Shape) -> RaggedBatch:
    """A batch of ones that has these tokens, in rows as wide as can be."""
    rows = -(-shape.tokens // shape.width)
    lengths = np.full(rows, shape.width, np.int32)
    lengths[-1] = shape.tokens - shape.width * (rows - 1)
    return RaggedBatch(np.ones(shape.tokens, np.int32), None, lengths)
