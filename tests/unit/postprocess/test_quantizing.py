import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from triptych_postprocess.embedding import EmbedOptions, Pooled, embed
from triptych_postprocess.quantizing import to_bits, to_int8
from triptych_postprocess.vectors import Vectors

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=finite)


def test_the_largest_number_of_a_row_becomes_127() -> None:
    vectors = np.array([[0.5, -1.0, 0.25], [0, 0, 0], [2, 4, 0], [-3, 1, 1]], np.float32)
    # 63.5 and 31.75 round to 64 and 32, 42.33 to 42; halves go to the even neighbour
    assert to_int8(vectors).tolist() == [[64, -127, 32], [0, 0, 0], [64, 127, 0], [-127, 42, 42]]


@given(rows)
def test_int8_is_as_close_as_it_can_be(vectors: Vectors) -> None:
    made = to_int8(vectors)
    assert made.dtype == np.int8
    largest = np.abs(vectors.astype(np.float64)).max(axis=1, keepdims=True)
    exact = np.divide(
        vectors.astype(np.float64) * 127, largest, out=np.zeros(vectors.shape), where=largest > 0
    )
    assert (np.abs(made - exact) <= 0.5 + 1e-4).all()
    assert (np.abs(made).max(axis=1) == np.where(largest[:, 0] > 0, 127, 0)).all()


@pytest.mark.parametrize("scale", [1e-45, 1e-38, 1e38])
def test_no_scale_overflows_or_vanishes(scale: float) -> None:
    assert to_int8(np.array([[scale, -scale, 0]], np.float32)).tolist() == [[127, -127, 0]]


def test_bits_begin_with_the_highest() -> None:
    vectors = np.array([[1, -1, 0, 2, -0.0, 1e-45, 3, -2, 5]], np.float32)
    assert to_bits(vectors).tolist() == [[0b10010110, 0b10000000]]


@given(rows)
def test_bits_say_what_is_above_zero(vectors: Vectors) -> None:
    made = to_bits(vectors)
    assert made.shape == (len(vectors), -(-vectors.shape[1] // 8))
    bits = np.unpackbits(made, axis=1)
    assert np.array_equal(bits[:, : vectors.shape[1]], vectors > 0)
    assert not bits[:, vectors.shape[1] :].any()


def test_both_come_after_the_cut_and_pass_broken_rows_by() -> None:
    vectors = np.array([[1, -2, 100], [np.nan, 0, 0], [0.5, 0.5, -9]], np.float32)
    for normalize in (True, False):
        small = embed(Pooled(vectors), EmbedOptions(normalize, 2, np.dtype(np.int8)), {})
        assert small.rows.tolist() == [[64, -127], [127, 127]]
        bits = embed(Pooled(vectors), EmbedOptions(normalize, 2, np.dtype(np.uint8)), {})
        assert bits.rows.tolist() == [[0b10000000], [0b11000000]]
        assert list(small.errors) == list(bits.errors) == [1]
