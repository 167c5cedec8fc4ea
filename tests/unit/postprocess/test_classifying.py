import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays
from numpy.typing import NDArray

from triptych_bundles import Head
from triptych_postprocess.classifying import ClassifyOptions, classify
from triptych_postprocess.heads import Classifier

finite = st.floats(allow_nan=False, allow_infinity=False, width=32)
rows = arrays(np.float32, array_shapes(min_dims=2, max_dims=2), elements=finite)


def classifier(labels: int) -> Classifier:
    names = tuple(f"label {number}" for number in range(labels))
    head = Head("logits", False, (), "", "", names, "single_label_classification")
    return Classifier(head, (), labels)


def test_best_first_and_equals_by_label() -> None:
    logits = np.log(np.array([[0.2, 0.3, 0.2, 0.3], [0.1, 0.2, 0.3, 0.4]])).astype(np.float32)
    made = classify(logits, classifier(4), ClassifyOptions(3, False), {}).rows
    assert made.label_ids.tolist() == [[1, 3, 0], [3, 2, 1]]
    assert made.scores == pytest.approx(np.array([[0.3, 0.3, 0.2], [0.4, 0.3, 0.2]]), abs=1e-6)
    assert made.label_ids.dtype == np.int32
    assert made.scores.dtype == np.float32


def test_raw_scores_are_logits() -> None:
    logits = np.array([[-1.5, 2.5]], np.float16)
    made = classify(logits, classifier(2), ClassifyOptions(2, True), {}).rows
    assert made.scores.tolist() == [[2.5, -1.5]]


def test_logits_decide_where_probabilities_are_the_same() -> None:
    logits = np.array([[-2e30, -1e30, 1e30]], np.float32)
    made = classify(logits, classifier(3), ClassifyOptions(3, False), {}).rows
    assert made.label_ids.tolist() == [[2, 1, 0]]
    assert made.scores.tolist() == [[1, 0, 0]]


def test_no_item_left() -> None:
    logits = np.full((2, 3), math.nan, np.float32)
    made = classify(logits, classifier(3), ClassifyOptions(2, False), {})
    assert made.rows.label_ids.shape == made.rows.scores.shape == (0, 2)
    assert sorted(made.errors) == [0, 1]


@given(rows, st.integers(1, 12), st.booleans())
def test_classes_are_sorted(logits: NDArray[np.float32], top_k: int, raw: bool) -> None:
    labels = logits.shape[1]
    options = ClassifyOptions(min(top_k, labels), raw)
    made = classify(logits, classifier(labels), options, {}).rows
    assert made.label_ids.shape == (len(logits), options.top_k)
    assert np.isfinite(made.scores).all()
    assert (np.diff(made.scores, axis=1) <= 0).all()
    best = np.sort(logits, axis=1)[:, ::-1][:, : options.top_k]
    assert np.array_equal(np.take_along_axis(logits, made.label_ids, axis=1), best)
