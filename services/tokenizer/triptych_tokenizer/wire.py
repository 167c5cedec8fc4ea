"""The contract's messages and what the tokenizer means by them, there and back."""

from collections.abc import Sequence
from dataclasses import fields

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_servicekit.callers import stage_timing
from triptych_servicekit.errors import InvalidArgument, TriptychError
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import INT32, from_tensor, to_tensor
from triptych_tokenizer.chunks import Times
from triptych_tokenizer.items import Item, TextPair, TokenIds
from triptych_tokenizer.options import Columns, Options, Truncation
from triptych_tokenizer.ragged import run_starts
from triptych_tokenizer.sequences import Sequences

TRUNCATIONS = {
    pb.TRUNCATION_UNSPECIFIED: Truncation.RIGHT,
    pb.TRUNCATION_ERROR: Truncation.ERROR,
    pb.TRUNCATION_RIGHT: Truncation.RIGHT,
    pb.TRUNCATION_LEFT: Truncation.LEFT,
    pb.TRUNCATION_WINDOW: Truncation.WINDOW,
}


def read_items(inputs: Sequence[pb.TokenizeInput]) -> list[Item]:
    """The items of a request; one that cannot be read is its error."""
    return [_read_item(index, item) for index, item in enumerate(inputs)]


def _read_item(index: int, item: pb.TokenizeInput) -> Item:
    kind = item.WhichOneof("input")
    if kind == "text":
        return item.text
    if kind == "pair":
        return TextPair(item.pair.first, item.pair.second)
    if kind == "token_ids":
        return _read_ids(f"inputs[{index}].token_ids.ids", item.token_ids.ids)
    field = f"inputs[{index}]"
    return InvalidArgument(f"{field} has no text, pair or token_ids", field=field)


def _read_ids(field: str, tensor: types.Tensor) -> Item:
    try:
        return from_tensor(tensor, field, dtypes=INT32, dimensions=(1,))
    except InvalidArgument as error:
        return error


def read_options(options: pb.TokenizeOptions) -> Options:
    """Options of a request. Raises InvalidArgument for a truncation that is unknown."""
    if options.truncation not in TRUNCATIONS:
        field = "options.truncation"
        raise InvalidArgument(f"{field} {options.truncation} is unknown", field=field)
    special = options.add_special_tokens if options.HasField("add_special_tokens") else True
    columns = Columns(
        offsets=options.include_offsets,
        word_ids=options.include_word_ids,
        special_tokens_mask=options.include_special_tokens_mask,
        sequence_ids=options.include_sequence_ids,
    )
    return Options(
        special,
        TRUNCATIONS[options.truncation],
        options.max_length,
        options.stride,
        options.prompt_name,
        columns,
        options.max_windows,
    )


def read_sequences(
    batch: types.SequenceBatch, max_items: int, vocab_size: int
) -> list[TokenIds | TriptychError]:
    """Sequences to decode; one with ids outside the vocabulary is its error.

    Raises InvalidArgument where lengths and ids do not fit together.
    """
    lengths, ids = _column(batch.lengths, "lengths"), _column(batch.input_ids, "input_ids")
    check_count(len(lengths), max_items, "sequences.lengths")
    if lengths.min() < 1 or int(lengths.sum(dtype=np.int64)) != len(ids):
        field = "sequences.lengths"
        message = f"{field} must be positive and add up to the number of input_ids"
        raise InvalidArgument(message, field=field)
    sequences: list[TokenIds | TriptychError] = list(np.split(ids, run_starts(lengths)[1:]))
    wrong = np.flatnonzero((ids < 0) | (ids >= vocab_size))
    for index in np.searchsorted(np.cumsum(lengths), wrong, side="right").tolist():
        field = f"sequences.input_ids of sequence {index}"
        message = f"{field}: ids must be from 0 to {vocab_size - 1}"
        sequences[index] = InvalidArgument(message, field="sequences.input_ids")
    return sequences


def _column(tensor: types.Tensor, name: str) -> NDArray[np.int32]:
    return from_tensor(tensor, f"sequences.{name}", dtypes=INT32, dimensions=(1,))


def write_sequences(sequences: Sequences) -> types.SequenceBatch:
    """The columns that there are; Sequences names them as the contract does."""
    columns = ((item.name, getattr(sequences, item.name)) for item in fields(sequences))
    return types.SequenceBatch(
        **{name: to_tensor(column) for name, column in columns if column is not None}
    )


def write_timings(times: Sequence[Times]) -> list[types.StageTiming]:
    """Times of the callers, in their order."""
    messages = {time: stage_timing(time.queue, time.compute) for time in set(times)}
    return [messages[time] for time in times]
