"""Where the tokens of sequences are in their texts."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.columns import split

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tokens of S sequences are in their texts.

    `lengths` [S]; of all T tokens `offsets` [T, 2] in code points, `word_ids` [T] and
    `special_tokens_mask` [T].
    """

    lengths: Ints
    offsets: Ints
    word_ids: Ints
    special_tokens_mask: Ints

    def without(self, sequences: Collection[int]) -> "Layout":
        """The layout of the other sequences."""
        keep, tokens = others(self.lengths, sequences)
        return Layout(
            self.lengths[keep],
            self.offsets[tokens],
            self.word_ids[tokens],
            self.special_tokens_mask[tokens],
        )

    def split(self, sequences: Sequence[int], tokens: Sequence[int]) -> "list[Layout]":
        """Layouts of so many sequences each, which have so many tokens."""
        columns = (self.offsets, self.word_ids, self.special_tokens_mask)
        parts = zip(
            split(self.lengths, sequences), *(split(one, tokens) for one in columns), strict=True
        )
        return [Layout(*part) for part in parts]


def others(
    lengths: Ints, sequences: Collection[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks [S] and [T] of the sequences that are not among these, and of their tokens."""
    keep = np.ones(len(lengths), bool)
    keep[list(sequences)] = False
    return keep, np.repeat(keep, lengths)
