"""Whether a classifier is right as often as it is sure.

The reliability diagram and the expected calibration error of Guo et al. 2017, On Calibration of
Modern Neural Networks: predictions are put into bins of equal width by the score of the best label;
the error is the mean over the bins of |accuracy − confidence|, weighted by what is in them.
"""

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

DEFAULT_BINS: Final = 15
"""As in the paper."""
MAX_DEVIATION: Final = 1e-3
"""Of the sum of all scores from 1, for them to be a distribution: float32 and its printing."""


@dataclass(frozen=True, slots=True)
class Bin:
    """Predictions whose confidence is above `low` and at most `high`; the first has 0 as well."""

    low: float
    high: float
    count: int
    confidence: float
    """Mean of theirs; 0 where there are none."""
    accuracy: float
    """Share of them that is right; 0 where there are none."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """The bins, and the error over them."""

    error: float
    bins: tuple[Bin, ...]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        names = ("low", "high", "count", "confidence", "accuracy")
        bins = [{name: getattr(one, name) for name in names} for one in self.bins]
        return {"expected_calibration_error": self.error, "bins": bins}


def calibrate(
    confidence: NDArray[np.float64], correct: NDArray[np.bool_], bins: int
) -> Calibration:
    """Of N predictions, at least one: their confidence from 0 to 1, and whether they are right."""
    number = np.clip(np.ceil(confidence * bins).astype(int) - 1, 0, bins - 1)
    counts = np.bincount(number, minlength=bins)
    filled = np.maximum(counts, 1)
    means = np.bincount(number, confidence, bins) / filled
    right = np.bincount(number, correct, bins) / filled
    error = float((counts * np.abs(right - means)).sum() / len(confidence))
    edges = np.linspace(0, 1, bins + 1).tolist()
    columns = zip(edges, edges[1:], counts.tolist(), means.tolist(), right.tolist(), strict=False)
    return Calibration(error, tuple(Bin(*column) for column in columns))
