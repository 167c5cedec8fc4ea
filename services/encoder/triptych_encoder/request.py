"""Reading the sequences of an Encode request: arrays checked against the model."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import types_pb2 as types
from triptych_encoder.model import EncoderModel
from triptych_servicekit.errors import InvalidArgument, TriptychError
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import INT32, from_tensor

Ints = NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Sequences:
    """The sequences of a request: `input_ids` and `token_type_ids` [T], `lengths` [S]."""

    input_ids: Ints
    token_type_ids: Ints | None
    lengths: Ints


def read_sequences(batch: types.SequenceBatch, max_items: int) -> Sequences:
    """Arrays of a SequenceBatch. Raises InvalidArgument where they do not fit together."""
    lengths = _column(batch.lengths, "sequences.lengths")
    ids = _column(batch.input_ids, "sequences.input_ids")
    check_count(len(lengths), max_items, "sequences.lengths")
    if lengths.min() < 1 or int(lengths.sum(dtype=np.int64)) != len(ids):
        raise InvalidArgument(
            "sequences.lengths must be positive and add up to the number of input_ids",
            field="sequences.lengths",
        )
    return Sequences(ids, _types(batch, len(ids)), lengths)


def _types(batch: types.SequenceBatch, tokens: int) -> Ints | None:
    if not batch.HasField("token_type_ids"):
        return None
    column = _column(batch.token_type_ids, "sequences.token_type_ids")
    if len(column) != tokens:
        raise InvalidArgument(
            f"sequences.token_type_ids has {len(column)} elements, input_ids {tokens}",
            field="sequences.token_type_ids",
        )
    return column


def _column(tensor: types.Tensor, field: str) -> Ints:
    return from_tensor(tensor, field, dtypes=INT32, dimensions=(1,))


def item_errors(sequences: Sequences, model: EncoderModel) -> dict[int, TriptychError]:
    """What is wrong with single sequences, by index."""
    starts = np.cumsum(sequences.lengths, dtype=np.int64) - sequences.lengths
    errors: dict[int, TriptychError] = {}
    for index in np.flatnonzero(sequences.lengths > model.max_length).tolist():
        errors[index] = InvalidArgument(
            f"sequence has {sequences.lengths[index]} tokens, the model takes {model.max_length}",
            field=f"sequences.lengths[{index}]",
            reason="INPUT_TOO_LONG",
        )
    for column, size, name in (
        (sequences.input_ids, model.vocab_size, "input_ids"),
        (sequences.token_type_ids, model.type_vocab_size, "token_type_ids"),
    ):
        if size is None:
            continue
        for index in _outside(column, starts, size):
            message = f"{name} of sequence {index} must be from 0 to {size - 1}"
            errors[index] = InvalidArgument(message, field=f"sequences.{name}")
    return errors


def _outside(column: Ints | None, starts: NDArray[np.int64], size: int) -> list[int]:
    """Sequences that hold an id which is not in [0, size)."""
    if column is None or (column.min() >= 0 and column.max() < size):
        return []
    bad = (column < 0) | (column >= size)
    found: list[int] = np.flatnonzero(np.logical_or.reduceat(bad, starts)).tolist()
    return found
