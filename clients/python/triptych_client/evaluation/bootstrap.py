"""How far a score would differ on another set of the same kind: the percentile bootstrap.

Items are drawn with replacement, and the score is computed anew (Efron & Tibshirani 1993, An
Introduction to the Bootstrap, ch. 13). It needs no formula for the score's spread, which F1 and
rank correlations do not have. Two models are compared on the same drawn items (Koehn 2004,
Statistical Significance Tests for Machine Translation Evaluation; Berg-Kirkpatrick et al. 2012, An
Empirical Investigation of Statistical Significance in NLP): what makes an item hard is hard for
both, so the interval of the difference is narrower than the two intervals suggest.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DEFAULT_RESAMPLES: Final = 1_000
"""Enough for the ends of a 95 % interval (Efron & Tibshirani 1993, section 14.3)."""
DEFAULT_CONFIDENCE: Final = 0.95

Rows = NDArray[np.int64]
Statistic = Callable[[Rows], float]
"""A score of the items in these rows, which may repeat."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is drawn."""

    resamples: int = DEFAULT_RESAMPLES
    confidence: float = DEFAULT_CONFIDENCE
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Interval:
    """A value and the ends of its confidence interval."""

    value: float
    low: float
    high: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"value": self.value, "low": self.low, "high": self.high}


@dataclass(frozen=True, slots=True)
class Sampled:
    """A score of all items, and of every resample [R]."""

    value: float
    resampled: NDArray[np.float64]

    def interval(self, confidence: float) -> Interval:
        """The value, and the percentiles that leave out half of the rest on each side."""
        outside = (1 - confidence) / 2
        low, high = np.quantile(self.resampled, [outside, 1 - outside])
        return Interval(self.value, float(low), float(high))

    def minus(self, other: "Sampled") -> "Sampled":
        """The difference, where both were drawn by one plan over the same items."""
        return Sampled(self.value - other.value, self.resampled - other.resampled)


def sample(statistic: Statistic, items: int, plan: Plan) -> Sampled:
    """Draw; the same plan draws the same rows of as many items, whatever the statistic is."""
    numbers = np.random.default_rng(plan.seed)
    drawn = [statistic(numbers.integers(items, size=items)) for _ in range(plan.resamples)]
    return Sampled(statistic(np.arange(items)), np.array(drawn))
