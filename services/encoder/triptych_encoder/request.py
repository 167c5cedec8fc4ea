"""Reading an Encode request: arrays checked against the model, outputs named."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_encoder.backend import HIDDEN, POOLED_PREFIX
from triptych_encoder.model import EncoderModel
from triptych_servicekit.errors import InvalidArgument, TriptychError, Unimplemented
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import FLOATS, INT32, from_tensor

MAX_OUTPUTS: Final = 8
POOLINGS: Final[dict[int, str]] = {
    types.POOLING_CLS: "cls",
    types.POOLING_MEAN: "mean",
    types.POOLING_LAST_TOKEN: "last_token",
}

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
        for index in _outside(column, starts, size):
            message = f"{name} of sequence {index} must be from 0 to {size - 1}"
            errors[index] = InvalidArgument(message, field=f"sequences.{name}")
    return errors


def _outside(column: Ints | None, starts: NDArray[np.int64], size: int) -> list[int]:
    """Sequences that hold an id which is not in [0, size)."""
    if column is None:
        return []
    bad = (column < 0) | (column >= size)
    found: list[int] = np.flatnonzero(np.logical_or.reduceat(bad, starts)).tolist()
    return found


def read_outputs(specs: Sequence[pb.OutputSpec], model: EncoderModel) -> list[str]:
    """Names of the backend's outputs, one for each OutputSpec.

    Raises InvalidArgument, and Unimplemented for kinds this version does not serve.
    """
    if not 1 <= len(specs) <= MAX_OUTPUTS:
        raise InvalidArgument(f"outputs must have 1 to {MAX_OUTPUTS} entries", field="outputs")
    return [_output(spec, f"outputs[{index}]", model) for index, spec in enumerate(specs)]


def _output(spec: pb.OutputSpec, field: str, model: EncoderModel) -> str:
    if spec.dtype not in (types.DATA_TYPE_UNSPECIFIED, *FLOATS):
        raise InvalidArgument(f"{field}.dtype must be FLOAT32 or FLOAT16", field=f"{field}.dtype")
    name = _name(spec, field, model)
    if name not in model.lane.backend.outputs:
        raise InvalidArgument(f"{field}: the model has no output {name}", field=field)
    return name


def _name(spec: pb.OutputSpec, field: str, model: EncoderModel) -> str:
    match spec.kind:
        case pb.OUTPUT_KIND_POOLED:
            return POOLED_PREFIX + _pooling(spec.pooling, field, model)
        case pb.OUTPUT_KIND_HIDDEN:
            return HIDDEN
        case pb.OUTPUT_KIND_SEGMENTS | pb.OUTPUT_KIND_TOKEN_LOGITS:
            kind = pb.OutputKind.Name(spec.kind)
            raise Unimplemented(f"{field}: {kind} is not served by this version", field=field)
        case _:
            raise InvalidArgument(f"{field}.kind must be set", field=f"{field}.kind")


def _pooling(pooling: int, field: str, model: EncoderModel) -> str:
    if pooling == types.POOLING_UNSPECIFIED:
        return model.pooling
    if pooling not in POOLINGS:
        raise InvalidArgument(f"{field}.pooling is unknown", field=f"{field}.pooling")
    return POOLINGS[pooling]


def check_hidden_size(names: Sequence[str], tokens: int, hidden: int, limit: int) -> None:
    """Refuse hidden states over `limit` bytes before memory is taken for them."""
    size = names.count(HIDDEN) * tokens * hidden * np.dtype(np.float32).itemsize
    if size > limit:
        raise InvalidArgument(
            f"outputs: hidden states would take {size} bytes, the limit is {limit}",
            field="outputs",
            reason="OUTPUT_TOO_LARGE",
        )
