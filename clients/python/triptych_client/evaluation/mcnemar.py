"""Whether two classifiers differ in accuracy: McNemar's exact test.

Of the items that only one of the two gets right, each is as likely to be either's if they are
equally good; the p-value is the binomial chance of a split at least as uneven (McNemar 1947).
Dietterich 1998, Approximate Statistical Tests for Comparing Supervised Classification Learning
Algorithms, recommends the test where each was trained once. The exact form holds for few items too.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class McNemar:
    """Items that only one of the two got right, and the chance of that split by luck alone."""

    only_first: int
    only_second: int
    p_value: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        counts = {"only_model": self.only_first, "only_baseline": self.only_second}
        return {**counts, "p_value": self.p_value}


def mcnemar(first: NDArray[np.bool_], second: NDArray[np.bool_]) -> McNemar:
    """Compare which of N items the first and the second got right."""
    only_first = int((first & ~second).sum())
    only_second = int((second & ~first).sum())
    return McNemar(only_first, only_second, p_value(only_first, only_second))


def p_value(only_first: int, only_second: int) -> float:
    """Two-sided: twice the tail of a fair coin, at most 1."""
    tosses = only_first + only_second
    tail = math.fsum(
        math.exp(_log_choose(tosses, heads) - tosses * math.log(2))
        for heads in range(min(only_first, only_second) + 1)
    )
    return min(1.0, 2 * tail)


def _log_choose(total: int, chosen: int) -> float:
    return math.lgamma(total + 1) - math.lgamma(chosen + 1) - math.lgamma(total - chosen + 1)
