"""Calls of the encoder."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_gateway.calls.sharing import (
    Entries,
    contexts,
    invoke,
    split_errors,
    split_rows,
    stage_times,
    surviving,
)
from triptych_gateway.work import RowsResult
from triptych_servicekit.tensors import FLOATS, from_tensor, to_tensor

POOLINGS: Final = {
    "cls": types.POOLING_CLS,
    "mean": types.POOLING_MEAN,
    "last_token": types.POOLING_LAST_TOKEN,
}


@dataclass(frozen=True, slots=True)
class EncodeCall:
    """Encodes EncodeWorks to pooled vectors."""

    digest: str
    pooling: str

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[RowsResult]:
        """Raw vectors, float32 [sequences without error, H], of each entry."""
        counts = [len(entry.work.lengths) for entry in entries]
        output = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=POOLINGS[self.pooling])
        request = pb.EncodeRequest(
            model=types.ModelRef(digest=self.digest),
            sequences=_sequences(entries),
            outputs=[output],
            contexts=contexts(entries, counts),
        )
        response = await invoke(replica.stub.Encode, request, entries)
        errors = split_errors(response.errors, counts)
        rows = from_tensor(response.outputs[0], "outputs", dtypes=FLOATS, dimensions=(2,))
        parts = split_rows(rows, surviving(counts, errors))
        times = stage_times(response.timings)
        return [RowsResult(*part) for part in zip(parts, errors, times, strict=True)]


def _sequences(entries: Entries) -> types.SequenceBatch:
    works = [entry.work for entry in entries]
    batch = types.SequenceBatch(
        lengths=to_tensor(np.concatenate([work.lengths for work in works])),
        input_ids=to_tensor(np.concatenate([work.input_ids for work in works])),
    )
    if any(work.token_type_ids is not None for work in works):
        columns = [
            np.zeros_like(work.input_ids) if work.token_type_ids is None else work.token_type_ids
            for work in works
        ]
        batch.token_type_ids.CopyFrom(to_tensor(np.concatenate(columns)))
    return batch
