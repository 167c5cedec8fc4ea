"""Rows of a result: which belong to a sequence, and how those of segments are pooled."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_encoder.outputs import (
    Output,
    Rows,
    SegmentRows,
    SequenceRows,
    TokenRows,
    pool_segments,
)

LENGTHS = np.array([2, 3, 1], np.int32)
FLOAT16 = np.dtype(np.float16)


def hidden(sequence: int, width: int = 2) -> np.ndarray[tuple[int, int], np.dtype[np.float32]]:
    """Padded to four tokens; the padding must show nowhere."""
    values = np.full((4, width), np.nan, np.float32)
    for token in range(LENGTHS[sequence]):
        values[token] = (10 * sequence + token, -token)
    return values


def filled(rows: Rows) -> np.ndarray[tuple[int, int], np.dtype[np.float16]]:
    output = Output("last_hidden_state", rows, 2, FLOAT16)
    result = output.allocate()
    for batch in ([2], [1, 0]):
        rows.write(result, batch, np.stack(list(map(hidden, batch))), range(len(batch)))
    assert output.size == result.nbytes
    return result


def test_tokens_stand_one_after_the_other() -> None:
    rows = TokenRows(LENGTHS)
    assert filled(rows)[:, 0].tolist() == [0, 1, 10, 11, 12, 20]
    assert rows.of(np.array([True, False, True])).tolist() == [True, True] + [False] * 3 + [True]


def test_segments_keep_their_order_and_fail_with_their_sequence() -> None:
    segments = np.array([[1, 1, 3], [0, 0, 2], [2, 0, 1], [1, 0, 3]], np.int32)
    rows = SegmentRows(segments, 3, "mean")
    assert filled(rows)[:, 0].tolist() == [11.5, 0.5, 20, 11]
    assert rows.of(np.array([True, False, True])).tolist() == [False, True, True, False]


@pytest.mark.parametrize(("pooling", "expected"), [("cls", 11), ("last_token", 12)])
def test_a_segment_pools_as_asked(pooling: str, expected: float) -> None:
    segments = np.array([[1, 1, 3]], np.int32)
    assert filled(SegmentRows(segments, 3, pooling))[0, 0] == expected


def test_sequence_rows_go_where_they_belong() -> None:
    rows = SequenceRows(2)
    result = np.zeros((3, 2))
    rows.write(result, [2, 0], np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), [0, 2])
    assert result.tolist() == [[5, 6], [0, 0], [1, 2]]
    assert rows.of(np.array([False, True])).tolist() == [False, True]


@given(st.integers(1, 40).flatmap(
    lambda tokens: st.tuples(
        st.just(tokens),
        st.lists(st.tuples(st.integers(0, tokens - 1), st.integers(1, tokens)), min_size=1),
    )
))  # fmt: skip
def test_means_of_overlapping_segments_are_exact(drawn: tuple[int, list[tuple[int, int]]]) -> None:
    tokens, pairs = drawn
    first = np.array([min(pair[0], pair[1] - 1) for pair in pairs], np.int32)
    end = np.array([pair[1] for pair in pairs], np.int32)
    values = np.random.default_rng(tokens).normal(0, 100, (tokens, 3)).astype(np.float32)
    expected = [
        values[a:b].astype(np.float64).mean(axis=0) for a, b in zip(first, end, strict=True)
    ]
    actual = pool_segments(values, first, end, "mean")
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-9)
