"""Packing: the arrays that the packed graph reads, written where the GPU fetches them.

They lie in one block, so that one copy takes them all. Names and meaning are the graph's: see
`triptych_models.graph.packed`.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import Ints, RaggedBatch
from triptych_encoder.gpu.shapes import Shape

Arrays = Mapping[str, Ints]
# Where an array may start, in bytes: what any kernel's widest load asks for.
ALIGNMENT: Final = 256
# Inputs that are 0, 1, 2, ...: uploaded once, and as much of them read as a run has.
COUNTING: Final = ("token_index", "sequence_index")
PACKED: Final = (
    "input_ids",
    "position_ids",
    "token_type_ids",
    "cu_seqlens",
    "token_offset",
    "first_tokens",
    "last_tokens",
)


class Place(NamedTuple):
    """An array inside of a block: where it starts and ends, in bytes, and what it is."""

    start: int
    end: int
    shape: tuple[int, ...]
    dtype: np.dtype[np.generic]

    def of(self, block: NDArray[np.uint8]) -> NDArray[np.generic]:
        """The array, sharing the block's memory."""
        return block[self.start : self.end].view(self.dtype).reshape(self.shape)


def places(arrays: Iterable[tuple[str, tuple[int, ...], np.dtype[np.generic]]]) -> dict[str, Place]:
    """Arrays of these names, shapes and types, one after the other."""
    found: dict[str, Place] = {}
    end = 0
    for name, shape, dtype in arrays:
        start = -(-end // ALIGNMENT) * ALIGNMENT
        end = start + math.prod(shape) * dtype.itemsize
        found[name] = Place(start, end, shape, dtype)
    return found


def input_places(names: Iterable[str], shape: Shape) -> dict[str, Place]:
    """Where a run of this shape has those of its inputs that are packed."""
    shapes = {
        "cu_seqlens": (shape.rows + 1,),
        "token_offset": (shape.rows, shape.width),
        "first_tokens": (shape.ranges,),
        "last_tokens": (shape.ranges,),
    }
    wanted = [name for name in PACKED if name in names]
    kind: np.dtype[np.generic] = np.dtype(np.int32)
    return places((name, shapes.get(name, (shape.tokens,)), kind) for name in wanted)


def pack(batch: RaggedBatch, shape: Shape, arrays: Arrays, padding_id: int | None) -> None:
    """Write a batch into arrays of a shape that holds it.

    What a bucket has beyond the batch becomes rows of padding, which nobody reads. Positions are
    counted from 0, or from `padding_id` on.
    """
    rows = len(batch.lengths)
    lengths = _lengths(batch, shape)
    bounds = arrays["cu_seqlens"]
    bounds[0] = 0
    np.cumsum(lengths, out=bounds[1:])
    _fill(arrays["input_ids"], batch.input_ids)
    if "token_type_ids" in arrays:
        _fill(arrays["token_type_ids"], () if (t := batch.token_type_ids) is None else t)
    arrays["position_ids"][:] = positions(arrays["input_ids"], lengths, padding_id)
    _write_offsets(arrays["token_offset"], lengths)
    ranges = np.empty((0, 2), np.int32) if batch.ranges is None else batch.ranges
    _fill(arrays["first_tokens"], bounds[:rows], ranges[:, 0])
    _fill(arrays["last_tokens"], bounds[1 : rows + 1] - 1, ranges[:, 1])


def _lengths(batch: RaggedBatch, shape: Shape) -> Ints:
    """Of all rows: the batch's, then those of as much padding as there are tokens left."""
    row, left = len(batch.lengths), shape.tokens - len(batch.input_ids)
    found = np.zeros(shape.rows, np.int32)
    found[:row] = batch.lengths
    while left:
        found[row] = min(left, shape.longest)
        left -= int(found[row])
        row += 1
    return found


def _fill(array: Ints, *parts: Ints | Sequence[int]) -> None:
    """Write the parts one after the other, and zeros after them."""
    end = 0
    for values in parts:
        array[end : end + len(values)] = values
        end += len(values)
    array[end:] = 0


def positions(input_ids: Ints, lengths: Ints, padding_id: int | None) -> Ints:
    """Rows of the position table, [T].

    With a padding's id, by the ids (transformers, create_position_ids_from_input_ids): it has its
    own position wherever a text spells it out, and is not counted.
    """
    starts = np.cumsum(lengths, dtype=np.int32) - lengths
    if padding_id is None:
        steps = np.arange(len(input_ids), dtype=np.int32)
        return steps - np.repeat(starts, lengths)
    other = input_ids != padding_id
    counted = np.concatenate([[0], np.cumsum(other, dtype=np.int32)]).astype(np.int32)
    own: Ints = counted[1:] - np.repeat(counted[starts], lengths)
    own *= other
    own += np.int32(padding_id)
    return own


def _write_offsets(offsets: Ints, lengths: Ints) -> None:
    """The places in a padded batch: of the tokens, then of the padding."""
    real = np.arange(offsets.shape[1]) < lengths[:, None]
    flat, tokens = offsets.reshape(-1), int(lengths.sum())
    flat[:tokens] = np.flatnonzero(real)
    flat[tokens:] = np.flatnonzero(~real)
