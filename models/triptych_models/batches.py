"""Rows of similar lengths together, so that little of a batch is padding."""

from collections.abc import Iterator, Sequence

BATCH_TOKENS = 1024
"""Padding included. Larger batches leave the cache of a core and are no faster."""


def by_length(lengths: Sequence[int], batch_tokens: int = BATCH_TOKENS) -> Iterator[list[int]]:
    """Rows by length, the longest first, in batches of at most `batch_tokens` or of one row."""
    batch: list[int] = []
    for row in sorted(range(len(lengths)), key=lambda each: -lengths[each]):
        if batch and lengths[batch[0]] * (len(batch) + 1) > batch_tokens:
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch
