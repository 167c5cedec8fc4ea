import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from triptych_tokenizer.cutting import Cuts, cut, longest_first, window_counts
from triptych_tokenizer.options import Truncation

lengths = st.integers(0, 40)


def column(*values: int) -> NDArray[np.int64]:
    return np.array(values, np.int64)


def cut_one(length: int, room: int, truncation: Truncation, stride: int = 0) -> Cuts:
    return cut(np.array([[length, 0]], np.int64), column(room), truncation, stride)


@given(lengths, lengths, st.integers(1, 50))
def test_pairs_are_cut_as_the_library_cuts_them(first: int, second: int, room: int) -> None:
    library = Tokenizer(WordLevel({"a": 0}, unk_token="a"))
    library.pre_tokenizer = Whitespace()
    library.enable_truncation(room, strategy="longest_first")
    expected = library.encode("a " * first, "a " * second).sequence_ids
    kept = longest_first(np.array([[first, second]], np.int64), column(room))
    assert kept.tolist() == [[expected.count(0), expected.count(1)]]


def test_right_keeps_the_beginning_and_left_the_end() -> None:
    right, left = (cut_one(10, 4, side) for side in (Truncation.RIGHT, Truncation.LEFT))
    assert (right.starts[0, 0], right.lengths[0, 0]) == (0, 4)
    assert (left.starts[0, 0], left.lengths[0, 0]) == (6, 4)


def test_texts_that_fit_are_left_alone() -> None:
    both = cut(np.array([[3, 0], [2, 2]], np.int64), column(4, 4), Truncation.LEFT, 0)
    assert both.starts.tolist() == [[0, 0], [0, 0]]
    assert both.lengths.tolist() == [[3, 0], [2, 2]]


@given(st.integers(0, 200), st.integers(1, 30), st.data())
def test_windows_cover_a_text_with_the_overlap_asked_for(
    length: int, room: int, data: st.DataObject
) -> None:
    stride = data.draw(st.integers(0, room - 1))
    windows = cut_one(length, room, Truncation.WINDOW, stride)
    starts, kept = windows.starts[:, 0], windows.lengths[:, 0]
    ends = starts + kept
    assert starts[0] == 0
    assert ends[-1] == length
    assert (ends[:-1] - starts[1:] == stride).all()
    assert (kept[:-1] == room).all()
    assert window_counts(column(length), column(room), stride) == [len(starts)]


def test_windows_of_several_items_stay_in_order() -> None:
    windows = cut(np.array([[5, 0], [1, 0], [4, 0]]), column(3, 3, 3), Truncation.WINDOW, 1)
    assert windows.item.tolist() == [0, 0, 1, 2, 2]
    assert windows.starts[:, 0].tolist() == [0, 2, 0, 0, 2]
    assert windows.lengths[:, 0].tolist() == [3, 3, 1, 3, 2]
