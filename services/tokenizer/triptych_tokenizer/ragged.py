"""Runs of different lengths in one flat array."""

import numpy as np
from numpy.typing import NDArray


def run_starts(lengths: NDArray[np.integer]) -> NDArray[np.int64]:
    """Where each run begins when runs of these lengths stand one after the other."""
    return np.cumsum(lengths, dtype=np.int64) - lengths


def run_indices(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> NDArray[np.int64]:
    """start, start + 1, ... for `length` steps of every run, one run after the other."""
    shifts = np.repeat(starts - run_starts(lengths), lengths)
    return np.arange(len(shifts)) + shifts
