"""Calls of postprocess that hold rows against each other."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_gateway.calls.sharing import (
    Entries,
    contexts,
    invoke,
    split_errors,
    stage_times,
    surviving,
)
from triptych_gateway.columns import join, split
from triptych_gateway.layout import Ints
from triptych_gateway.tasks import ChosenHead, RankOptions
from triptych_gateway.work import RankResult, RowsResult
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.tensors import FLOATS, INT32, from_tensor, to_tensor


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
            vectors=to_tensor(join([work.vectors for work in works])),
            first_index=to_tensor(_shifted([work.first for work in works], rows)),
            second_index=to_tensor(_shifted([work.second for work in works], rows)),
            contexts=contexts(entries),
        )
        response = await invoke(replica.stub.Similarity, request, entries)
        errors = split_errors(response.errors, counts)
        scores = from_tensor(response.result.scores, "scores", dtypes=FLOATS, dimensions=(1,))
        parts = split(scores, surviving(counts, errors))
        times = stage_times(response.timings, entries)
        return [RowsResult(*part) for part in zip(parts, errors, times, strict=True)]


@dataclass(frozen=True, slots=True)
class RankCall:
    """Ranks the documents of RankWorks. An item is a query; without a head, by cosine."""

    digest: str
    head: ChosenHead | None
    options: RankOptions

    async def __call__(self, replica: Any, entries: Entries) -> Sequence[RankResult]:
        """The ranking of each entry."""
        counts = [1] * len(entries)
        response = await invoke(replica.stub.Rank, self._request(entries), entries)
        errors = split_errors(response.errors, counts)
        rankings = _rankings(response.result, len(entries))
        times = stage_times(response.timings, entries)
        return [
            RankResult(*ranking, _first(failed), time)
            for ranking, failed, time in zip(rankings, errors, times, strict=True)
        ]

    def _request(self, entries: Entries) -> pb.PostprocessServiceRankRequest:
        works = [entry.work for entry in entries]
        request = pb.PostprocessServiceRankRequest(
            model=types.ModelRef(digest=self.digest),
            document_counts=to_tensor(np.array([len(work.documents) for work in works], np.int32)),
            top_n=self.options.top_n,
            raw_scores=self.options.raw_scores,
            contexts=contexts(entries),
        )
        documents = to_tensor(join([work.documents for work in works]))
        if self.head is not None:
            request.head = self.head.digest
            request.pairs.CopyFrom(documents)
        else:
            request.document_vectors.CopyFrom(documents)
            request.query_vectors.CopyFrom(to_tensor(join([work.query for work in works])))
        return request


def _rankings(result: pb.RankResult, queries: int) -> list[tuple[Ints, NDArray[np.float32]]]:
    """Documents and scores of each query; rows of the result are ordered by query."""
    columns = (
        from_tensor(tensor, "result", dtypes=kinds, dimensions=(1,))
        for tensor, kinds in (
            (result.query_index, INT32),
            (result.document_index, INT32),
            (result.score, FLOATS),
        )
    )
    query, document, score = columns
    borders = np.searchsorted(query, np.arange(1, queries))
    parts = zip(np.split(document, borders), np.split(score, borders), strict=True)
    return list(parts)


def _first(errors: dict[int, TriptychError]) -> TriptychError | None:
    return next(iter(errors.values()), None)


def _shifted(indices: Sequence[NDArray[np.int32]], rows: NDArray[Any]) -> NDArray[np.int32]:
    """Indices of each entry, counted from the first row of the call."""
    moved = [index + row for index, row in zip(indices, rows[:-1], strict=True)]
    return np.concatenate(moved).astype(np.int32)
