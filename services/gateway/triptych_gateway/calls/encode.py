"""Calls of the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from numpy.typing import NDArray

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_bundles.manifest import LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT, pooled_output
from triptych_gateway.calls.sharing import (
    Entries,
    contexts,
    invoke,
    split_errors,
    stage_times,
    surviving,
)
from triptych_gateway.columns import split
from triptych_gateway.work import SEGMENTS, EncodeResult, EncodeWork
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.tensors import FLOATS, from_tensor, to_tensor

OUTPUTS: Final = {
    pooled_output("cls"): (pb.OUTPUT_KIND_POOLED, types.POOLING_CLS),
    pooled_output("mean"): (pb.OUTPUT_KIND_POOLED, types.POOLING_MEAN),
    pooled_output("last_token"): (pb.OUTPUT_KIND_POOLED, types.POOLING_LAST_TOKEN),
    LOGITS_OUTPUT: (pb.OUTPUT_KIND_LOGITS, types.POOLING_UNSPECIFIED),
    TOKEN_LOGITS_OUTPUT: (pb.OUTPUT_KIND_TOKEN_LOGITS, types.POOLING_UNSPECIFIED),
    SEGMENTS: (pb.OUTPUT_KIND_SEGMENTS, types.POOLING_MEAN),
}


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Encodes EncodeWorks to the named outputs of the graph, all in one pass."""

    digest: str
    outputs: tuple[str, ...]

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[EncodeResult]:
        """The outputs of each entry, float32 or float16."""
        counts = [len(entry.work.lengths) for entry in entries]
        work = EncodeWork.joined([entry.work for entry in entries])
        request = pb.EncodeRequest(
            model=types.ModelRef(digest=self.digest),
            sequences=_sequences(work),
            outputs=[_spec(output, work) for output in self.outputs],
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Encode, request, entries)
        errors = split_errors(response.errors, counts)
        rows = surviving(counts, errors)
        arrays = [
            split(_read(tensor), _rows(output, entries, errors) or rows)
            for output, tensor in zip(self.outputs, response.outputs, strict=True)
        ]
        parts = zip(
            zip(*arrays, strict=True), errors, stage_times(response.timings, entries), strict=True
        )
        return [EncodeResult(*part) for part in parts]


def _spec(output: str, work: EncodeWork) -> pb.OutputSpec:
    kind, pooling = OUTPUTS[output]
    spec = pb.OutputSpec(kind=kind, pooling=pooling)
    if output == SEGMENTS and work.segments is not None:
        spec.segments.CopyFrom(to_tensor(work.segments))
    return spec


def _read(tensor: types.Tensor) -> NDArray[Any]:
    return from_tensor(tensor, "outputs", dtypes=FLOATS, dimensions=(2,))


def _rows(
    output: str, entries: Entries, errors: Sequence[dict[int, TriptychError]]
) -> list[int] | None:
    """Rows of each entry's sequences without error; None for an output of a row a sequence."""
    works: list[EncodeWork] = [entry.work for entry in entries]
    if output == TOKEN_LOGITS_OUTPUT:
        columns = [work.lengths for work in works]
    elif output == SEGMENTS:
        columns = [work.segment_counts() for work in works]
    else:
        return None
    return [
        int(column.sum() - column[list(failed)].sum())
        for column, failed in zip(columns, errors, strict=True)
    ]


def _sequences(work: EncodeWork) -> types.SequenceBatch:
    batch = types.SequenceBatch(
        lengths=to_tensor(work.lengths), input_ids=to_tensor(work.input_ids)
    )
    if work.token_type_ids is not None:
        batch.token_type_ids.CopyFrom(to_tensor(work.token_type_ids))
    return batch
