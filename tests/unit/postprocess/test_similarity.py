import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from triptych_postprocess.outcome import Outcome
from triptych_postprocess.similarity import Pairs, similarity
from triptych_postprocess.vectors import BLOCK, Vectors
from triptych_servicekit.errors import DeadlineExceeded, Internal, InvalidArgument, TriptychError

NAN = float("nan")

moderate = st.floats(-1e3, 1e3, width=32)
rows = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=moderate)


def compare(
    vectors: Vectors, pairs: list[tuple[int, int]], errors: dict[int, TriptychError] | None = None
) -> Outcome[Vectors]:
    first, second = np.array(pairs, np.int32).reshape(-1, 2).T
    return similarity(vectors, Pairs(first, second), errors or {})


def test_cosines() -> None:
    vectors = np.array([[2, 0], [0, 3], [-4, 0], [1, 1], [0, 0]], np.float32)
    outcome = compare(vectors, [(0, 0), (0, 1), (0, 2), (0, 3), (0, 4)])
    assert outcome.rows.dtype == np.float32
    assert outcome.rows == pytest.approx([1, 0, -1, 0.5**0.5, 0])


@given(rows)
def test_every_cosine_is_in_range(vectors: Vectors) -> None:
    count = len(vectors)
    outcome = compare(vectors, [(i, j) for i in range(count) for j in range(count)])
    assert (np.abs(outcome.rows) <= 1).all()
    own = np.diag(outcome.rows.reshape(count, count))
    assert own == pytest.approx(vectors.any(axis=1).astype(float), abs=1e-5)


def test_more_pairs_than_a_block() -> None:
    vectors = np.eye(2, dtype=np.float32)
    pairs = [(0, number % 2) for number in range(2 * BLOCK + 3)]
    assert compare(vectors, pairs).rows.tolist() == [1 - second for _, second in pairs]


def test_bad_pairs_fail_alone() -> None:
    vectors = np.array([[1, 0], [NAN, 0]], np.float32)
    late = DeadlineExceeded("late")
    pairs = [(0, 0), (0, 1), (2, 0), (0, -1), (0, 0), (-1, 5)]
    outcome = compare(vectors, pairs, {4: late})
    assert outcome.rows.tolist() == [1]
    assert isinstance(outcome.errors[1], Internal)
    assert isinstance(outcome.errors[2], InvalidArgument)
    fields = [outcome.errors[index].field for index in (2, 3, 5)]
    assert fields == ["first_index", "second_index", "first_index"]
    assert outcome.errors[4] is late


def test_no_pair_left() -> None:
    outcome = compare(np.ones((1, 2), np.float32), [(1, 1)])
    assert outcome.rows.shape == (0,)
