"""Sequences and their segments, divided and put together."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.work import EncodeWork

Pieces = list[tuple[list[int], list[list[int]]]]


def ints(values: object) -> "np.ndarray[tuple[int, ...], np.dtype[np.int32]]":
    return np.array(values, np.int32)


@st.composite
def sequences(draw: st.DrawFn) -> Pieces:
    """Token ids and the segments of each sequence, as ids."""
    made: Pieces = []
    for _ in range(draw(st.integers(1, 6))):
        ids = draw(st.lists(st.integers(0, 99), min_size=1, max_size=6))
        cuts = draw(
            st.lists(st.tuples(st.integers(0, len(ids) - 1), st.integers(1, 6)), max_size=3)
        )
        made.append((ids, [[start, min(start + size, len(ids))] for start, size in cuts]))
    return made


def work(pieces: Pieces) -> EncodeWork:
    rows = [[row, *cut] for row, (_, cuts) in enumerate(pieces) for cut in cuts]
    return EncodeWork(
        ints([one for ids, _ in pieces for one in ids]),
        ints([len(ids) for ids, _ in pieces]),
        ints([one % 2 for ids, _ in pieces for one in ids]),
        ints(rows).reshape(-1, 3),
    )


def equal(made: EncodeWork, pieces: Pieces) -> None:
    expected = work(pieces)
    assert made.lengths.tolist() == expected.lengths.tolist()
    assert made.input_ids.tolist() == expected.input_ids.tolist()
    assert made.token_type_ids is not None
    assert made.token_type_ids.tolist() == [one % 2 for one in made.input_ids.tolist()]
    assert made.segments is not None
    assert expected.segments is not None
    assert made.segments.tolist() == expected.segments.tolist()
    assert made.segment_counts().tolist() == [len(cuts) for _, cuts in pieces]


@given(sequences(), st.data())
def test_a_part_has_its_own_segments(pieces: Pieces, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(pieces) - 1))
    stop = data.draw(st.integers(start + 1, len(pieces)))
    equal(work(pieces).part(slice(start, stop)), pieces[start:stop])


@given(sequences(), st.data())
def test_what_is_left_keeps_its_segments(pieces: Pieces, data: st.DataObject) -> None:
    gone = data.draw(st.sets(st.integers(0, len(pieces) - 1), max_size=len(pieces) - 1))
    kept = [piece for row, piece in enumerate(pieces) if row not in gone]
    equal(work(pieces).without(sorted(gone)), kept)


@given(st.lists(sequences(), min_size=1, max_size=4))
def test_several_are_joined(parts: list[Pieces]) -> None:
    equal(EncodeWork.joined(list(map(work, parts))), [piece for part in parts for piece in part])


def test_types_are_zero_where_a_part_has_none() -> None:
    bare = EncodeWork(ints([5]), ints([1]), None)
    joined = EncodeWork.joined([bare, work([([3, 4], [])])])
    assert joined.token_type_ids is not None
    assert joined.token_type_ids.tolist() == [0, 1, 0]
    assert joined.segments is not None
    assert EncodeWork.joined([bare, bare]).token_type_ids is None
    assert EncodeWork.joined([bare, bare]).segments is None
