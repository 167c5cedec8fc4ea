"""Which of an alias's targets a request gets."""

import hashlib
from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate


def choose(weights: Sequence[int], point: float) -> int:
    """The index whose part of the whole holds `point`, which is from 0 up to but not 1."""
    ends = list(accumulate(weights))
    return min(bisect_right(ends, point * ends[-1]), len(ends) - 1)


def point_of(alias: str, key: str) -> float:
    """Where a caller stands with an alias: from 0 up to but not 1, evenly spread over callers.

    It is always the same, so that a canary whose weight grows keeps the callers that it had.
    """
    digest = hashlib.blake2b(f"{alias}\0{key}".encode(), digest_size=6).digest()
    return int.from_bytes(digest) / 2**48
