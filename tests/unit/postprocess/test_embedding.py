import numpy as np
import pytest

from triptych_postprocess.embedding import EmbedOptions, Pooled, embed
from triptych_postprocess.windows import group_windows
from triptych_servicekit.errors import DeadlineExceeded, Internal, InvalidArgument

FLOAT32, FLOAT16 = np.dtype(np.float32), np.dtype(np.float16)


def pooled(*rows: list[float], dtype: type = np.float32) -> Pooled:
    return Pooled(np.array(rows, dtype))


def test_raw_vectors_pass_unchanged() -> None:
    vectors = pooled([3, 4], [0, 0])
    outcome = embed(vectors, EmbedOptions(False, 2, FLOAT32), {})
    assert outcome.rows.tolist() == [[3, 4], [0, 0]]
    assert not outcome.errors


def test_cut_vectors_are_normalised_after_the_cut() -> None:
    outcome = embed(pooled([3, 4, 12]), EmbedOptions(True, 2, FLOAT32), {})
    assert outcome.rows[0] == pytest.approx([0.6, 0.8])


def test_float16_in_and_out() -> None:
    outcome = embed(pooled([3, 4], dtype=np.float16), EmbedOptions(True, 2, FLOAT16), {})
    assert outcome.rows.dtype == FLOAT16
    assert outcome.rows[0] == pytest.approx([0.6, 0.8], abs=1e-3)


def test_items_with_broken_vectors_fail_alone() -> None:
    vectors = pooled([1, 0], [float("nan"), 0], [0, float("-inf")], [0, 1])
    outcome = embed(vectors, EmbedOptions(True, 2, FLOAT32), {})
    assert outcome.rows.tolist() == [[1, 0], [0, 1]]
    assert {index: type(error) for index, error in outcome.errors.items()} == {
        1: Internal,
        2: Internal,
    }


def test_items_in_error_before_stay_so() -> None:
    late = DeadlineExceeded("late")
    outcome = embed(pooled([1], [2]), EmbedOptions(False, 1, FLOAT32), {0: late})
    assert outcome.rows.tolist() == [[2]]
    assert outcome.errors == {0: late}


def test_numbers_beyond_float16_fail_alone_unless_normalised() -> None:
    vectors = pooled([float("nan")], [1e6], [2.0])
    outcome = embed(vectors, EmbedOptions(False, 1, FLOAT16), {})
    assert outcome.rows.tolist() == [[2.0]]
    assert isinstance(outcome.errors[1], InvalidArgument)
    assert outcome.errors[1].field == "options.dtype"
    normalised = embed(vectors, EmbedOptions(True, 1, FLOAT16), {})
    assert normalised.rows.tolist() == [[1.0], [1.0]]


def test_windows_are_averaged_by_their_tokens() -> None:
    rows = np.array([[1, 0], [0, 1], [5, 5]], np.float32)
    index, counts = np.array([0, 0, 1], np.int32), np.array([3, 1, 9], np.int32)
    windows = Pooled(rows, group_windows(index, counts))
    outcome = embed(windows, EmbedOptions(False, 2, FLOAT32), {})
    assert windows.count == 2
    assert outcome.rows.tolist() == [[0.75, 0.25], [5, 5]]


def test_one_broken_window_breaks_its_item_only() -> None:
    rows = np.array([[1], [np.inf], [5]], np.float32)
    windows = Pooled(rows, group_windows(np.array([0, 0, 1], np.int32), None))
    outcome = embed(windows, EmbedOptions(False, 1, FLOAT32), {})
    assert outcome.rows.tolist() == [[5]]
    assert list(outcome.errors) == [0]


def test_windows_without_counts_weigh_the_same() -> None:
    rows = np.array([[1], [2]], np.float32)
    windows = Pooled(rows, group_windows(np.array([0, 0], np.int32), None))
    assert embed(windows, EmbedOptions(False, 1, FLOAT32), {}).rows.tolist() == [[1.5]]


@pytest.mark.parametrize("index", [[1, 2], [0, 2], [1, 0], [-1, 0], [0, -(2**31)]])
def test_item_indices_must_ascend_without_gap(index: list[int]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        group_windows(np.array(index, np.int32), None)
    assert caught.value.field == "item_index"


@pytest.mark.parametrize("counts", [[0, 1], [-1, 1], [1]])
def test_token_counts_must_be_positive(counts: list[int]) -> None:
    with pytest.raises(InvalidArgument) as caught:
        group_windows(np.array([0, 0], np.int32), np.array(counts, np.int32))
    assert caught.value.field == "token_counts"
