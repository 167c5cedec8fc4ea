"""Scores of an embedding model by how well its cosines follow people's judgement of likeness."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_client.evaluation.bootstrap import Statistic

Values = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class CorrelationScores:
    """N pairs; those without an answer have no place in a correlation and are left out."""

    items: int
    expected: Values
    """[N]"""
    cosines: Values
    """[N]: NaN where there was no answer."""

    @property
    def correct(self) -> None:
        """A cosine is neither right nor wrong."""
        return

    def statistics(self) -> Mapping[str, Statistic]:
        """Of ranks (Spearman), as the STS benchmark is reported, and of values (Pearson)."""
        return {
            "spearman": lambda rows: spearman(*self._answered(rows)),
            "pearson": lambda rows: pearson(*self._answered(rows)),
        }

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {}

    def _answered(self, rows: NDArray[np.int64]) -> tuple[Values, Values]:
        rows = rows[~np.isnan(self.cosines[rows])]
        return self.expected[rows], self.cosines[rows]


def score_cosines(expected: Sequence[float], answers: Sequence[float | None]) -> CorrelationScores:
    """Hold cosines against scores on any scale."""
    cosines = np.array([np.nan if one is None else one for one in answers], np.float64)
    return CorrelationScores(len(expected), np.array(expected, np.float64), cosines)


def pearson(left: Values, right: Values) -> float:
    """Linear correlation of N values, from −1 to 1; 0 where one side does not vary."""
    if len(left) == 0:
        return 0.0
    left, right = left - left.mean(), right - right.mean()
    scale = np.sqrt((left @ left) * (right @ right))
    return float(left @ right / scale) if scale > 0 else 0.0


def spearman(left: Values, right: Values) -> float:
    """Correlation of the ranks."""
    return pearson(ranks(left), ranks(right))


def ranks(values: Values) -> Values:
    """From 1; equal values share the mean of their ranks."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    means: Values = (np.cumsum(counts) - (counts - 1) / 2)[inverse]
    return means
