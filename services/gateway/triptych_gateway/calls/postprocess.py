"""Calls of postprocess."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import postprocess_service_pb2 as pb
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
from triptych_servicekit.tensors import DTYPES, from_tensor, to_tensor

NUMBERS: Final = {
    "float32": types.DATA_TYPE_FLOAT32,
    "float16": types.DATA_TYPE_FLOAT16,
    "int8": types.DATA_TYPE_INT8,
    "uint8": types.DATA_TYPE_UINT8,
}


@dataclass(frozen=True, slots=True)
class EmbedCall:
    """Makes embeddings of EmbedWorks."""

    digest: str
    normalize: bool | None
    dimensions: int
    dtype: str

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[RowsResult]:
        """Embeddings [rows without error, dimensions] of each entry."""
        counts = [len(entry.work.vectors) for entry in entries]
        request = pb.PostprocessServiceEmbedRequest(
            model=types.ModelRef(digest=self.digest),
            vectors=to_tensor(np.concatenate([entry.work.vectors for entry in entries])),
            options=self._options(),
            contexts=contexts(entries, counts),
        )
        response = await invoke(replica.stub.Embed, request, entries)
        return _results(response, response.result.embeddings, counts)

    def _options(self) -> pb.EmbedOptions:
        dtype = NUMBERS[self.dtype]
        options = pb.EmbedOptions(dimensions=self.dimensions, dtype=dtype)
        if self.normalize is not None:
            options.normalize = self.normalize
        return options


@dataclass(frozen=True, slots=True)
class SimilarityCall:
    """Compares the pairs of SimilarityWorks."""

    digest: str

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[RowsResult]:
        """Scores float32 [pairs without error] of each entry."""
        works = [entry.work for entry in entries]
        counts = [len(work.first) for work in works]
        rows = np.cumsum([0, *(len(work.vectors) for work in works)])
        request = pb.PostprocessServiceSimilarityRequest(
            model=types.ModelRef(digest=self.digest),
            vectors=to_tensor(np.concatenate([work.vectors for work in works])),
            first_index=to_tensor(_shifted([work.first for work in works], rows)),
            second_index=to_tensor(_shifted([work.second for work in works], rows)),
            contexts=contexts(entries, counts),
        )
        response = await invoke(replica.stub.Similarity, request, entries)
        return _results(response, response.result.scores, counts)


def _shifted(indices: Sequence[NDArray[np.int32]], rows: NDArray[Any]) -> NDArray[np.int32]:
    """Indices of each entry, counted from the first row of the call."""
    moved = [index + row for index, row in zip(indices, rows[:-1], strict=True)]
    return np.concatenate(moved).astype(np.int32)


def _results(response: Any, tensor: types.Tensor, counts: Sequence[int]) -> list[RowsResult]:
    errors = split_errors(response.errors, counts)
    rows = from_tensor(tensor, "result", dtypes=DTYPES, dimensions=(1, 2))
    parts = split_rows(rows, surviving(counts, errors))
    times = stage_times(response.timings)
    return [RowsResult(*part) for part in zip(parts, errors, times, strict=True)]
