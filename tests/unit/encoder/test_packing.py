"""What goes to the GPU and what comes back, for any batch and any bucket that holds it."""

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from triptych_encoder.backend import Ints, RaggedBatch
from triptych_encoder.gpu.packing import PACKED, input_places, pack, places, positions
from triptych_encoder.gpu.shapes import (
    TOKENS_A_ROW,
    Shape,
    buckets,
    fit,
    full,
    largest,
    round_up,
    shape_of,
)

# no multiple of what widths are rounded up to
MAX_LENGTH = 90
LIMIT = largest(4096, 1024, MAX_LENGTH)
ALL = buckets(MAX_LENGTH, LIMIT)

lengths_strategy = st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=40)


def batch_of(lengths: list[int], types: bool = True) -> RaggedBatch:
    numbers = np.random.default_rng(sum(lengths))
    tokens = sum(lengths)
    ids = numbers.integers(0, 50, tokens).astype(np.int32)
    kinds = numbers.integers(0, 2, tokens).astype(np.int32) if types else None
    return RaggedBatch(ids, kinds, np.array(lengths, np.int32))


def packed(
    batch: RaggedBatch, shape: Shape, padding_id: int | None = None
) -> dict[str, NDArray[np.int32]]:
    """The arrays, written into a block that held something else before."""
    found = input_places(PACKED, shape)
    block = np.full(max(place.end for place in found.values()), 255, np.uint8)
    arrays = {name: place.of(block) for name, place in found.items()}
    pack(batch, shape, arrays, padding_id)  # type: ignore[arg-type]
    return arrays  # type: ignore[return-value]


@given(lengths_strategy, st.booleans())
def test_sequences_lie_one_after_the_other(lengths: list[int], types: bool) -> None:
    batch = batch_of(lengths, types)
    arrays = packed(batch, shape_of(batch))
    np.testing.assert_array_equal(arrays["input_ids"], batch.input_ids)
    expected = batch.token_type_ids if types else np.zeros(sum(lengths))
    np.testing.assert_array_equal(arrays["token_type_ids"], expected)
    assert arrays["cu_seqlens"].tolist() == [0, *np.cumsum(lengths).tolist()]
    counted = [place for length in lengths for place in range(length)]
    assert arrays["position_ids"].tolist() == counted


@given(lengths_strategy)
def test_offsets_are_the_places_in_a_padded_batch(lengths: list[int]) -> None:
    batch = batch_of(lengths)
    offsets = packed(batch, shape_of(batch))["token_offset"]
    width = round_up(max(lengths))
    assert offsets.shape == (len(lengths), width)
    real = [row * width + at for row, length in enumerate(lengths) for at in range(length)]
    assert offsets.reshape(-1)[: sum(lengths)].tolist() == real
    assert sorted(offsets.reshape(-1).tolist()) == list(range(offsets.size))


@given(lengths_strategy)
def test_ranges_are_the_sequences(lengths: list[int]) -> None:
    batch = batch_of(lengths)
    arrays = packed(batch, shape_of(batch))
    ends = np.cumsum(lengths)
    assert arrays["first_tokens"].tolist() == (ends - lengths).tolist()
    assert arrays["last_tokens"].tolist() == (ends - 1).tolist()


@given(lengths_strategy)
def test_a_bucket_holds_the_batch_and_padding_that_nobody_reads(lengths: list[int]) -> None:
    batch = batch_of(lengths)
    bucket = fit(shape_of(batch), ALL)
    if bucket is None:
        assert len(lengths) + -(-(4096 - sum(lengths)) // MAX_LENGTH) > 4096 // TOKENS_A_ROW
        return
    tokens, rows = sum(lengths), len(lengths)
    alone, padded = packed(batch, shape_of(batch)), packed(batch, bucket)
    for name in ("input_ids", "token_type_ids", "position_ids"):
        np.testing.assert_array_equal(padded[name][:tokens], alone[name])
        assert not padded[name][tokens:].any() or name == "position_ids"
    np.testing.assert_array_equal(padded["cu_seqlens"][: rows + 1], alone["cu_seqlens"])
    spans = np.diff(padded["cu_seqlens"])
    assert padded["cu_seqlens"][-1] == bucket.tokens
    assert spans.max() <= MAX_LENGTH
    assert padded["position_ids"].max() < MAX_LENGTH
    for name in ("first_tokens", "last_tokens"):
        np.testing.assert_array_equal(padded[name][:rows], alone[name])
        assert not padded[name][rows:].any()
    offsets = padded["token_offset"].reshape(-1)
    np.testing.assert_array_equal(np.sort(offsets), np.arange(bucket.rows * bucket.width))


@given(lengths_strategy)
def test_the_smallest_bucket_is_taken(lengths: list[int]) -> None:
    shape = shape_of(batch_of(lengths))
    bucket = fit(shape, ALL)
    smaller = ALL if bucket is None else ALL[: ALL.index(bucket)]
    for other in smaller:
        spare = other.tokens - shape.tokens
        rows = shape.rows + -(-spare // other.longest)
        assert spare < 0 or rows > other.rows or shape.longest > other.longest


@given(st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=12), min_size=1, max_size=6))
def test_positions_after_the_padding_are_those_of_transformers(sequences: list[list[int]]) -> None:
    """See create_position_ids_from_input_ids: what spells the padding out is not counted."""
    expected = []
    for sequence in sequences:
        count = 0
        for token in sequence:
            count += token != 1
            expected.append(1 + count if token != 1 else 1)
    batch = RaggedBatch.of(sequences)
    assert positions(batch.input_ids, batch.lengths, 1).tolist() == expected


def test_places_do_not_overlap_and_start_where_kernels_can_read() -> None:
    kind: np.dtype[np.generic] = np.dtype(np.int32)
    found = list(places([("a", (3,), kind), ("b", (5, 7), kind), ("c", (1,), kind)]).values())
    assert [place.start % 256 for place in found] == [0, 0, 0]
    assert all(one.end <= other.start for one, other in itertools.pairwise(found))


@pytest.mark.parametrize(
    "shape", [Shape(4096, 43, 43, 96), Shape(100, 7, 7, 16), Shape(100, 8, 8, 13)]
)
def test_a_full_batch_has_the_tokens_of_its_shape(shape: Shape) -> None:
    batch: RaggedBatch = full(shape)
    lengths: Ints = batch.lengths
    assert (int(lengths.sum()), int(lengths.max())) == (shape.tokens, shape.longest)
    assert len(lengths) == shape.rows


def test_what_is_larger_in_anything_does_not_fit() -> None:
    shape = Shape(100, 10, 10, 16)
    assert shape <= shape
    for larger in ({"tokens": 101}, {"rows": 11}, {"longest": 17}, {"ranges": 11}):
        assert not replace(shape, **larger) <= shape
