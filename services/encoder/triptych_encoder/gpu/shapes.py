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
    """T `tokens`, B `rows`, R `ranges` to pool.

    Rows have at most `longest` tokens, for which there are positions; `width` is that, rounded up.
    """

    tokens: int
    rows: int
    ranges: int
    longest: int

    @property
    def width(self) -> int:
        """S, what kernels are told."""
        return round_up(self.longest)

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
    """The sizes that a batch has by itself; its sequences are pooled, and then its ranges."""
    rows = len(batch.lengths)
    ranges = rows if batch.ranges is None else rows + len(batch.ranges)
    return Shape(len(batch.input_ids), rows, ranges, int(batch.lengths.max()))


def largest(tokens: int, ranges: int, max_length: int) -> Shape:
    """What memory is taken for: the most that a batch may have of everything."""
    return Shape(max(tokens, max_length), ranges, ranges, max_length)


def buckets(max_length: int, limit: Shape) -> Sequence[Shape]:
    """The buckets of a model whose sequences have at most `max_length` tokens, smallest first."""
    shapes = []
    for tokens in BUCKETS:
        rows = tokens // TOKENS_A_ROW
        shape = Shape(tokens, rows, rows, min(max_length, tokens))
        if shape <= limit:
            shapes.append(shape)
    return shapes


def fit(shape: Shape, among: Sequence[Shape]) -> Shape | None:
    """The smallest bucket that holds a batch, with rows to spare for the padding; or None."""
    for bucket in among:
        spare = bucket.tokens - shape.tokens
        rows = shape.rows + -(-spare // bucket.longest)
        enough = rows <= bucket.rows and shape.ranges <= bucket.ranges
        if spare >= 0 and shape.longest <= bucket.longest and enough:
            return bucket
    return None


def round_up(length: int) -> int:
    """To the next width that a run may have."""
    return -(-length // WIDTH_MULTIPLE) * WIDTH_MULTIPLE


def full(shape: Shape) -> RaggedBatch:
    """A batch of ones that has these tokens, in rows as long as can be."""
    rows = -(-shape.tokens // shape.longest)
    lengths = np.full(rows, shape.longest, np.int32)
    lengths[-1] = shape.tokens - shape.longest * (rows - 1)
    return RaggedBatch(np.ones(shape.tokens, np.int32), None, lengths)
