"""Arithmetic on rows of vectors."""

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

# Pairs gathered at a time, so that many pairs of few vectors take no more memory than few pairs.
BLOCK = 1024


def finite_rows(vectors: NDArray[np.floating]) -> NDArray[np.bool_]:
    """bool [N]: rows without infinity and NaN."""
    finite: NDArray[np.bool_] = np.isfinite(vectors).all(axis=1)
    return finite


def normalize(vectors: Vectors) -> Vectors:
    """Rows of length 1; a row of zeros stays one.

    Rows are scaled by their largest element first, since squares of float32 leave its range from
    1e19 upward and lose their digits from 1e-19 downward.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    largest[largest == 0] = 1
    scaled: Vectors = vectors / largest
    norms = np.sqrt(np.einsum("nh,nh->n", scaled, scaled))
    norms[norms == 0] = 1
    scaled /= norms[:, np.newaxis]
    return scaled


def average(
    vectors: Vectors, first_rows: NDArray[np.int64], weights: NDArray[np.integer]
) -> Vectors:
    """Weighted means over runs of rows.

    Run k begins at `first_rows[k]`, ascending from 0, and ends where the next begins; `weights`
    [S] are positive. Sums are float64, which no float32 overflows.
    """
    wide = vectors.astype(np.float64) * weights[:, np.newaxis]
    sums = np.add.reduceat(wide, first_rows, axis=0)
    totals = np.add.reduceat(weights.astype(np.float64), first_rows)
    return (sums / totals[:, np.newaxis]).astype(np.float32)


def cosines(
    units: Vectors,
    rows: NDArray[np.integer],
    other_units: Vectors,
    other_rows: NDArray[np.integer],
) -> Vectors:
    """[P] cosines of row `rows[p]` of the one and row `other_rows[p]` of the other, from -1 to 1.

    Both are of length 1; with a row of zeros the cosine is 0.
    """
    made = np.empty(len(rows), np.float32)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        made[block] = np.einsum("ph,ph->p", units[rows[block]], other_units[other_rows[block]])
    return made.clip(-1, 1)
