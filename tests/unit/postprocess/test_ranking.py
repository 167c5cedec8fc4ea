import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_bundles import Head, ProblemType
from triptych_postprocess.heads import Classifier
from triptych_postprocess.outcome import Outcome
from triptych_postprocess.ranking import (
    Documents,
    Rankings,
    RankOptions,
    rank_pairs,
    rank_vectors,
)
from triptych_servicekit.errors import DeadlineExceeded, Internal

NAN = math.nan
finite = st.floats(allow_nan=False, allow_infinity=False, width=32)


def counts(*values: int) -> Documents:
    return Documents(np.array(values, np.int64))


def cross_encoder(problem: ProblemType = "single_label_classification") -> Classifier:
    return Classifier(Head("logits", False, (), "", "", ("relevant",), problem), (), 1)


def table(outcome: Outcome[Rankings]) -> list[tuple[int, int]]:
    rows = outcome.rows
    return list(zip(rows.query_index.tolist(), rows.document_index.tolist(), strict=True))


def pairs(*logits: float) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    return np.array(logits, np.float32).reshape(-1, 1)


def test_by_cosine() -> None:
    queries = np.array([[2, 0], [0, 5]], np.float32)
    vectors = np.array([[-1, 0], [9, 9], [4, 0], [1, 1], [0, 0]], np.float16)
    made = rank_vectors(queries, vectors, counts(3, 2), RankOptions(0), {})
    assert table(made) == [(0, 2), (0, 1), (0, 0), (1, 0), (1, 1)]
    half = 0.5**0.5
    assert made.rows.scores == pytest.approx([1, half, -1, half, 0], abs=1e-6)


def test_the_best_of_each_query() -> None:
    logits = pairs(1, 3, 2, 0, 5)
    made = rank_pairs(logits, cross_encoder(), counts(3, 0, 2), RankOptions(2, True), {})
    assert table(made) == [(0, 1), (0, 2), (2, 1), (2, 0)]
    assert made.rows.scores.tolist() == [3, 2, 5, 0]


def test_equals_come_in_the_order_of_the_documents() -> None:
    made = rank_pairs(pairs(1, 2, 2, 1, 2), cross_encoder(), counts(5), RankOptions(0), {})
    assert table(made) == [(0, 1), (0, 2), (0, 4), (0, 0), (0, 3)]


def test_probabilities_unless_it_is_a_regression() -> None:
    logits = pairs(0, math.log(3))
    made = rank_pairs(logits, cross_encoder(), counts(2), RankOptions(0), {})
    assert made.rows.scores == pytest.approx([0.75, 0.5])
    raw = rank_pairs(logits, cross_encoder("regression"), counts(2), RankOptions(0), {})
    assert raw.rows.scores.tolist() == [logits[1, 0], 0]


def test_logits_decide_where_probabilities_are_the_same() -> None:
    made = rank_pairs(pairs(100, 200, 1e30), cross_encoder(), counts(3), RankOptions(0), {})
    assert table(made) == [(0, 2), (0, 1), (0, 0)]
    assert made.rows.scores.tolist() == [1, 1, 1]


def test_a_broken_row_fails_its_query_alone() -> None:
    late = DeadlineExceeded("late")
    logits = pairs(1, NAN, 2, 3, 4)
    made = rank_pairs(logits, cross_encoder(), counts(2, 1, 1, 1), RankOptions(0), {2: late})
    assert table(made) == [(1, 0), (3, 0)]
    assert isinstance(made.errors[0], Internal)
    assert made.errors[2] is late
    queries = np.array([[1], [NAN], [1], [1]], np.float32)
    vectors = np.array([[1], [1], [NAN], [2], [3]], np.float32)
    made = rank_vectors(queries, vectors, counts(1, 1, 1, 2), RankOptions(0), {})
    assert table(made) == [(0, 0), (3, 0), (3, 1)]
    assert sorted(made.errors) == [1, 2]


@given(st.lists(st.lists(finite, max_size=6), min_size=1, max_size=6), st.integers(0, 4))
def test_rankings_are_sorted(queries: list[list[float]], top_n: int) -> None:
    flat = pairs(*(logit for query in queries for logit in query))
    documents = counts(*map(len, queries))
    made = rank_pairs(flat, cross_encoder(), documents, RankOptions(top_n, True), {}).rows
    expected = [
        (index, document, np.float32(logit))
        for index, query in enumerate(queries)
        for document, logit in sorted(enumerate(query), key=lambda entry: (-entry[1], entry[0]))[
            : top_n or None
        ]
    ]
    rows = zip(made.query_index, made.document_index, made.scores, strict=True)
    assert [tuple(row) for row in rows] == expected
    scores = rank_pairs(flat, cross_encoder(), documents, RankOptions(top_n), {}).rows.scores
    assert ((scores >= 0) & (scores <= 1)).all()
