"""Reading what an Encode request asks for: outputs checked against the model and the limits."""

from collections.abc import Callable, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_bundles.manifest import pooled_output
from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS
from triptych_encoder.model import EncoderModel
from triptych_encoder.outputs import (
    Output,
    RangeRows,
    Rows,
    SegmentRows,
    SequenceRows,
    TokenRows,
)
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import DTYPES, FLOATS, INT32, from_tensor

MAX_OUTPUTS: Final = 8
_POOLINGS: Final[dict[int, str]] = {
    types.POOLING_CLS: "cls",
    types.POOLING_MEAN: "mean",
    types.POOLING_LAST_TOKEN: "last_token",
}

Ints = NDArray[np.int32]


def read_outputs(
    specs: Sequence[pb.OutputSpec], model: EncoderModel, lengths: Ints, max_segments: int
) -> list[Output]:
    """The outputs of a request for sequences of `lengths` [S]; no memory is taken for them yet.

    Raises InvalidArgument, naming the field, for what is unknown, out of bounds, or not among the
    outputs of the model's graph.
    """
    if not 1 <= len(specs) <= MAX_OUTPUTS:
        raise InvalidArgument(f"outputs must have 1 to {MAX_OUTPUTS} entries", field="outputs")
    reader = _Reader(model, lengths, max_segments)
    return [reader.read(spec, f"outputs[{index}]") for index, spec in enumerate(specs)]


class _Reader:
    def __init__(self, model: EncoderModel, lengths: Ints, max_segments: int) -> None:
        self._model = model
        self._lengths = lengths
        self._max_segments = max_segments
        # of each sequence, how many segments its run may still pool
        self._room = np.full(len(lengths), model.lane.backend.max_segments)
        self._kinds: dict[int, Callable[[pb.OutputSpec, str], Output]] = {
            pb.OUTPUT_KIND_POOLED: self._pooled,
            pb.OUTPUT_KIND_LOGITS: self._logits,
            pb.OUTPUT_KIND_HIDDEN: self._hidden,
            pb.OUTPUT_KIND_TOKEN_LOGITS: self._token_logits,
            pb.OUTPUT_KIND_SEGMENTS: self._segments,
        }

    def read(self, spec: pb.OutputSpec, field: str) -> Output:
        if spec.dtype not in (types.DATA_TYPE_UNSPECIFIED, *FLOATS):
            field = f"{field}.dtype"
            raise InvalidArgument(f"{field} must be FLOAT32 or FLOAT16", field=field)
        if spec.kind not in self._kinds:
            raise InvalidArgument(f"{field}.kind must be set", field=f"{field}.kind")
        return self._kinds[spec.kind](spec, field)

    def _pooled(self, spec: pb.OutputSpec, field: str) -> Output:
        name = pooled_output(self._pooling(spec, field))
        return self._output(spec, f"{field}.pooling", name, SequenceRows(len(self._lengths)))

    def _logits(self, spec: pb.OutputSpec, field: str) -> Output:
        return self._output(spec, f"{field}.kind", LOGITS, SequenceRows(len(self._lengths)))

    def _hidden(self, spec: pb.OutputSpec, field: str) -> Output:
        return self._output(spec, f"{field}.kind", HIDDEN, TokenRows(self._lengths))

    def _token_logits(self, spec: pb.OutputSpec, field: str) -> Output:
        if spec.head not in ("", TOKEN_LOGITS, self._model.name):
            reason = f"{field}.head: the model has no token head {spec.head[:128]!r}"
            raise InvalidArgument(reason, field=f"{field}.head")
        return self._output(spec, f"{field}.kind", TOKEN_LOGITS, TokenRows(self._lengths))

    def _segments(self, spec: pb.OutputSpec, field: str) -> Output:
        segments, sequences = self._read_segments(spec.segments, f"{field}.segments"), self._lengths
        pooling = self._pooling(spec, field)
        room = self._room - np.bincount(segments[:, 0], minlength=len(sequences))
        if room.min() < 0:
            rows = SegmentRows(segments, len(sequences), pooling)
            return self._output(spec, f"{field}.kind", HIDDEN, rows)
        self._room = room
        ranges = RangeRows(segments, len(sequences))
        return self._output(spec, f"{field}.pooling", pooled_output(pooling), ranges)

    def _read_segments(self, tensor: types.Tensor, field: str) -> Ints:
        segments = from_tensor(tensor, field, dtypes=INT32, dimensions=(2,))
        check_count(len(segments), self._max_segments, field)
        if segments.shape[1] != 3:
            raise InvalidArgument(f"{field}: shape must be [K, 3]", field=f"{field}.shape")
        sequence, first, end = segments.T
        known = (sequence >= 0) & (sequence < len(self._lengths))
        lengths = self._lengths[np.where(known, sequence, 0)]
        bad = np.flatnonzero(~(known & (first >= 0) & (first < end) & (end <= lengths)))
        if len(bad):
            reason = f"{field}: row {bad[0]} is not a sequence and a range of its tokens"
            raise InvalidArgument(reason, field=field)
        return segments

    def _pooling(self, spec: pb.OutputSpec, field: str) -> str:
        if spec.pooling == types.POOLING_UNSPECIFIED:
            return self._model.pooling
        if spec.pooling not in _POOLINGS:
            raise InvalidArgument(f"{field}.pooling is unknown", field=f"{field}.pooling")
        return _POOLINGS[spec.pooling]

    def _output(self, spec: pb.OutputSpec, field: str, name: str, rows: Rows) -> Output:
        width = self._model.widths.get(name)
        if width is None:
            raise InvalidArgument(f"{field}: the model has no output {name}", field=field)
        dtype = DTYPES[spec.dtype or types.DATA_TYPE_FLOAT32]
        return Output(name, rows, width, dtype)


def check_sizes(outputs: Sequence[Output], max_token_bytes: int, max_bytes: int) -> None:
    """Refuse outputs too large to be held or answered, before memory is taken for them.

    `max_token_bytes` is the limit of those that have a row a token, together; `max_bytes` that of
    all.
    """
    tokens = [output for output in outputs if isinstance(output.rows, TokenRows)]
    _check_size("outputs of every token", tokens, max_token_bytes)
    _check_size("all outputs", outputs, max_bytes)


def _check_size(what: str, outputs: Sequence[Output], limit: int) -> None:
    size = sum(output.size for output in outputs)
    if size > limit:
        raise InvalidArgument(
            f"outputs: {what} would take {size} bytes, the limit is {limit}",
            field="outputs",
            reason="OUTPUT_TOO_LARGE",
        )
