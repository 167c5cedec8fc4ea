"""What is encoded: sequences of random ids, never zeros, and how they are put into batches."""

from collections.abc import Iterator, Sequence
from typing import Final

import numpy as np

from triptych_encoder.backend import Ints, RaggedBatch

BATCH_TOKENS: Final = 16_384
SHORTEST, LONGEST = 16, 512
FIRST_ID, LAST_ID = 1_000, 30_000


def fixed(length: int, batches: int, seed: int = 3) -> list[list[Ints]]:
    """Full batches of sequences of one length."""
    rows = BATCH_TOKENS // length
    return [sequences([length] * rows, seed + number) for number in range(batches)]


def mixed(batches: int, padded: bool = False, by_length: bool = False) -> list[list[Ints]]:
    """Batches of uniformly mixed lengths: of real tokens, or of an area with padding.

    As they come, or sorted by length beforehand, over the same sequences.
    """
    numbers = np.random.default_rng(5)
    count = batches * BATCH_TOKENS * 2 // (SHORTEST + LONGEST)
    lengths = numbers.integers(SHORTEST, LONGEST + 1, count).tolist()
    ordered = sorted(lengths) if by_length else lengths
    return [sequences(part, number) for number, part in enumerate(_cut(ordered, padded))]


def _cut(lengths: Sequence[int], padded: bool) -> Iterator[list[int]]:
    batch: list[int] = []
    for length in lengths:
        grown = [*batch, length]
        area = len(grown) * max(grown) if padded else sum(grown)
        if area > BATCH_TOKENS:
            yield batch
            grown = [length]
        batch = grown
    yield batch


def sequences(lengths: Sequence[int], seed: int) -> list[Ints]:
    """Random ids of these lengths."""
    numbers = np.random.default_rng(seed)
    return [numbers.integers(FIRST_ID, LAST_ID, length).astype(np.int32) for length in lengths]


def ragged(batch: Sequence[Ints]) -> RaggedBatch:
    """As the backends read it."""
    return RaggedBatch.of(batch)


def tokens(batches: Sequence[Sequence[Ints]]) -> int:
    """Real ones."""
    return sum(len(sequence) for batch in batches for sequence in batch)
