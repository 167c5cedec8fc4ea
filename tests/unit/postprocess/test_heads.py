import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from triptych_bundles import PROBLEM_TYPES, Head, Layer, ProblemType
from triptych_postprocess.heads import (
    BLOCK,
    Classifier,
    logits_of,
    probabilities,
    sigmoid,
    softmax,
)
from triptych_servicekit.errors import DeadlineExceeded, Internal

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=finite)


def head(labels: int, problem: ProblemType = "single_label_classification") -> Head:
    names = tuple(f"label {number}" for number in range(labels))
    return Head("logits", False, (), "", "", names, problem)


def test_softmax_by_hand() -> None:
    made = softmax(np.array([[0.0, math.log(3)], [5.0, 5.0]]))
    assert made == pytest.approx(np.array([[0.25, 0.75], [0.5, 0.5]]))


@given(rows)
def test_softmax_is_a_distribution(logits: NDArray[np.float32]) -> None:
    for wide in (logits, logits.astype(np.float64)):
        made = softmax(wide)
        assert made.dtype == wide.dtype
        assert ((made >= 0) & (made <= 1)).all()
        assert made.sum(axis=1) == pytest.approx(1, abs=1e-5)


@given(rows)
def test_probabilities_never_contradict_logits(logits: NDArray[np.float32]) -> None:
    order = np.argsort(-logits, axis=1, kind="stable")
    problems: tuple[ProblemType, ...] = PROBLEM_TYPES[:2]
    for problem in problems:
        made = probabilities(head(logits.shape[1], problem), logits)
        assert made.dtype == np.float32
        assert np.isfinite(made).all()
        assert (np.diff(np.take_along_axis(made, order, axis=1), axis=1) <= 0).all()


@pytest.mark.parametrize("size", [1e30, 65504.0, 3.4e38])
def test_enormous_logits_are_finite(size: float) -> None:
    logits = np.array([[size, -size, 0]], np.float32)
    assert probabilities(head(3), logits).tolist() == [[1, 0, 0]]
    several = probabilities(head(3, "multi_label_classification"), logits)
    assert several.tolist() == [[1, 0, 0.5]]


def test_the_function_is_chosen_as_transformers_does() -> None:
    logits = np.array([[0.0], [math.log(3)]], np.float32)
    single = probabilities(head(1), logits)
    assert single == pytest.approx(np.array([[0.5], [0.75]]))
    assert np.array_equal(probabilities(head(1, "regression"), logits), logits)
    wide = np.array([[0, math.log(3)]], np.float32)
    several = probabilities(head(2, "multi_label_classification"), wide)
    assert several == pytest.approx(np.array([[0.5, 0.75]]))
    assert np.array_equal(probabilities(head(2, "regression"), wide), wide)


@given(finite, finite)
def test_sigmoid_does_not_fall(first: float, second: float) -> None:
    low, high = sigmoid(np.array(sorted((first, second)), np.float32)).tolist()
    assert 0 <= low <= high <= 1


def classifier(normalized: bool = False) -> Classifier:
    kernel = np.array([[1, 0, -1], [0, 2, 0]], np.float32)
    own = Head("pooled.mean", normalized, (), "", "", ("a", "b", "c"), "regression")
    return Classifier(own, (Layer(kernel, np.array([0, 1, 0], np.float32), "none"),), 2)


def test_a_head_without_layers_reads_logits() -> None:
    logits = np.array([[1, 2], [np.inf, 0], [65504, -3]], np.float16)
    made = logits_of(logits, Classifier(head(2), (), 2), {})
    assert made.rows.dtype == np.float32
    assert made.rows.tolist() == [[1, 2], [65504, -3]]
    assert isinstance(made.errors[1], Internal)


def test_layers_and_length() -> None:
    inputs = np.array([[3, 4]], np.float32)
    assert logits_of(inputs, classifier(), {}).rows.tolist() == [[3, 9, -3]]
    made = logits_of(inputs, classifier(normalized=True), {})
    assert made.rows == pytest.approx(np.array([[0.6, 2.6, -0.6]]))


def test_rows_fail_alone() -> None:
    late = DeadlineExceeded("late")
    inputs = np.array([[1, 1], [np.nan, 1], [1, 3e38], [2, 0], [3, 0]], np.float32)
    made = logits_of(inputs, classifier(), {4: late})
    assert made.rows.tolist() == [[1, 3, -1], [2, 1, -2]]
    assert {index: error.message for index, error in made.errors.items()} == {
        1: "the encoder's output is not finite",
        2: "the head's logits are not finite",
        4: "late",
    }


def test_more_rows_than_a_block() -> None:
    inputs = np.arange(2 * (2 * BLOCK + 3), dtype=np.float32).reshape(-1, 2)
    made = logits_of(inputs, classifier(), {})
    expected = np.stack([inputs[:, 0], 2 * inputs[:, 1] + 1, -inputs[:, 0]], axis=1)
    assert np.array_equal(made.rows, expected)
