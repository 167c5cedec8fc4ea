"""Calls of the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
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
from triptych_gateway.columns import join, split
from triptych_gateway.work import EncodeResult
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.tensors import FLOATS, from_tensor, to_tensor

OUTPUTS: Final = {
    pooled_output("cls"): (pb.OUTPUT_KIND_POOLED, types.POOLING_CLS),
    pooled_output("mean"): (pb.OUTPUT_KIND_POOLED, types.POOLING_MEAN),
    pooled_output("last_token"): (pb.OUTPUT_KIND_POOLED, types.POOLING_LAST_TOKEN),
    LOGITS_OUTPUT: (pb.OUTPUT_KIND_LOGITS, types.POOLING_UNSPECIFIED),
    TOKEN_LOGITS_OUTPUT: (pb.OUTPUT_KIND_TOKEN_LOGITS, types.POOLING_UNSPECIFIED),
}


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Encodes EncodeWorks to the named outputs of the graph, all in one pass."""

    digest: str
    outputs: tuple[str, ...]

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[EncodeResult]:
        """The outputs of each entry, float32 or float16."""
        counts = [len(entry.work.lengths) for entry in entries]
        request = pb.EncodeRequest(
            model=types.ModelRef(digest=self.digest),
            sequences=_sequences(entries),
            outputs=map(_spec, self.outputs),
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Encode, request, entries)
        errors = split_errors(response.errors, counts)
        rows = surviving(counts, errors)
        arrays = [
            split(
                _read(tensor),
                _surviving_tokens(entries, errors) if output == TOKEN_LOGITS_OUTPUT else rows,
            )
            for output, tensor in zip(self.outputs, response.outputs, strict=True)
        ]
        parts = zip(
            zip(*arrays, strict=True), errors, stage_times(response.timings, entries), strict=True
        )
        return [EncodeResult(*part) for part in parts]


def _spec(output: str) -> pb.OutputSpec:
    kind, pooling = OUTPUTS[output]
    return pb.OutputSpec(kind=kind, pooling=pooling)


def _read(tensor: types.Tensor) -> NDArray[Any]:
    return from_tensor(tensor, "outputs", dtypes=FLOATS, dimensions=(2,))


def _surviving_tokens(entries: Entries, errors: Sequence[dict[int, TriptychError]]) -> list[int]:
    """Tokens of each entry's sequences that have no error."""
    return [
        int(entry.work.lengths.sum() - entry.work.lengths[list(failed)].sum())
        for entry, failed in zip(entries, errors, strict=True)
    ]


def _sequences(entries: Entries) -> types.SequenceBatch:
    works = [entry.work for entry in entries]
    batch = types.SequenceBatch(
        lengths=to_tensor(join([work.lengths for work in works])),
        input_ids=to_tensor(join([work.input_ids for work in works])),
    )
    if any(work.token_type_ids is not None for work in works):
        columns = [
            np.zeros_like(work.input_ids) if work.token_type_ids is None else work.token_type_ids
            for work in works
        ]
        batch.token_type_ids.CopyFrom(to_tensor(join(columns)))
    return batch
