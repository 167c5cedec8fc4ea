import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from triptych_postprocess.vectors import Vectors, average, finite_rows, normalize

LARGEST = float(np.finfo(np.float32).max)

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=finite)


@given(rows)
def test_rows_get_length_one_and_zeros_stay(vectors: Vectors) -> None:
    units = normalize(vectors)
    lengths = np.linalg.norm(units.astype(np.float64), axis=1)
    assert units.dtype == np.float32
    assert lengths == pytest.approx(vectors.any(axis=1).astype(float), abs=1e-6)


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e-20, 1.0, 1e20, LARGEST])
def test_no_scale_overflows_or_vanishes(scale: float) -> None:
    vectors = np.full((1, 4), scale, np.float32)
    assert normalize(vectors).tolist() == [[0.5] * 4]


def test_the_input_is_left_alone() -> None:
    vectors = np.array([[3, 4]], np.float32)
    vectors.flags.writeable = False
    assert normalize(vectors)[0] == pytest.approx([0.6, 0.8])


def test_no_rows() -> None:
    assert normalize(np.empty((0, 3), np.float32)).shape == (0, 3)


@given(st.lists(st.lists(st.tuples(finite, st.integers(1, 10**6)), min_size=1), min_size=1))
def test_averages_are_weighted(items: list[list[tuple[float, int]]]) -> None:
    windows = np.array([window for item in items for window in item], np.float64)
    vectors, weights = windows[:, :1].astype(np.float32), windows[:, 1].astype(np.int32)
    first_rows = np.cumsum([0, *map(len, items[:-1])])
    means = average(vectors, first_rows, weights)[:, 0]
    for item, mean in zip(items, means.tolist(), strict=True):
        total = sum(weight for _, weight in item)
        expected = math.fsum(value * weight for value, weight in item) / total
        scale = max(abs(value) for value, _ in item)
        assert mean == pytest.approx(expected, rel=1e-6, abs=1e-6 * scale + 1e-44)


def test_finite_rows() -> None:
    vectors = np.array([[1, 2], [np.nan, 1], [1, np.inf]], np.float32)
    assert finite_rows(vectors).tolist() == [True, False, False]
