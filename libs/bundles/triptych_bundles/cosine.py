"""How close vectors come to their golden ones."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Cosine:
    """The worst cosine of a set, the row it belongs to, and the least that was asked for."""

    worst: float
    index: int
    minimum: float

    @property
    def passed(self) -> bool:
        """Whether every row came close enough."""
        return self.worst >= self.minimum


def check_cosine(
    actual: NDArray[np.floating], expected: NDArray[np.floating], minimum: float
) -> Cosine:
    """Compare float[N, H] row by row, in float64; anything not finite counts as -1.

    ValueError where the shapes differ or there is no row.
    """
    if actual.shape != expected.shape or actual.ndim != 2 or not len(actual):
        raise ValueError(f"vectors of shape {actual.shape} cannot be held against {expected.shape}")
    wide, golden = actual.astype(np.float64), expected.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1) * np.linalg.norm(golden, axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        cosines = np.einsum("nh,nh->n", wide, golden) / lengths
    cosines[~np.isfinite(cosines)] = -1.0
    index = int(cosines.argmin())
    return Cosine(float(cosines[index]), index, minimum)
