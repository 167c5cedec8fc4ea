"""The gRPC edge of postprocess: convert, compute, convert."""

from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import grpc.aio

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle
from triptych_postprocess.embedding import embed
from triptych_postprocess.outcome import Outcome, expired
from triptych_postprocess.similarity import similarity
from triptych_postprocess.telemetry import PostprocessMetrics
from triptych_postprocess.wire import (
    read_embed_options,
    read_pairs,
    read_pooled,
    read_vectors,
)
from triptych_postprocess.workers import Done, Workers
from triptych_servicekit.callers import Caller, read_callers, stage_timing
from triptych_servicekit.errors import Unimplemented
from triptych_servicekit.groups import Limits
from triptych_servicekit.items import write_errors
from triptych_servicekit.registry import Registry
from triptych_servicekit.tensors import to_tensor

Context = grpc.aio.ServicerContext[Any, Any]


class PostprocessServicer(rpc.PostprocessServiceServicer):
    """Serves PostprocessService."""

    def __init__(
        self,
        models: Registry[Bundle],
        workers: Workers,
        metrics: PostprocessMetrics,
        limits: Limits,
    ) -> None:
        self._models = models
        self._workers = workers
        self._metrics = metrics
        self._limits = limits

    async def Embed(  # noqa: N802
        self, request: pb.PostprocessServiceEmbedRequest, context: Context
    ) -> pb.PostprocessServiceEmbedResponse:
        """Embeddings of every item whose vectors are sound."""
        held = self._models.find(request.model)
        options = read_embed_options(request.options, held.value)
        pooled = read_pooled(request, held.value.hidden_size, self._limits.max_items)
        callers = self._callers(request.contexts, pooled.count, context)
        done = await self._run(
            "embed", pooled.vectors.nbytes, lambda: embed(pooled, options, expired(callers))
        )
        return pb.PostprocessServiceEmbedResponse(
            model=held.model,
            result=pb.EmbedResult(embeddings=to_tensor(done.value.rows)),
            errors=write_errors(done.value.errors),
            timings=_timings(callers, done),
        )

    async def Similarity(  # noqa: N802
        self, request: pb.PostprocessServiceSimilarityRequest, context: Context
    ) -> pb.PostprocessServiceSimilarityResponse:
        """Cosines of every pair whose vectors are sound."""
        held = self._models.find(request.model)
        hidden_size, limit = held.value.hidden_size, self._limits.max_items
        vectors = read_vectors(request.vectors, hidden_size, limit)
        pairs = read_pairs(request, limit)
        callers = self._callers(request.contexts, len(pairs.first), context)
        size = vectors.nbytes + len(pairs.first) * hidden_size * vectors.itemsize
        done = await self._run(
            "similarity", size, lambda: similarity(vectors, pairs, expired(callers))
        )
        return pb.PostprocessServiceSimilarityResponse(
            model=held.model,
            result=pb.SimilarityResult(scores=to_tensor(done.value.rows)),
            errors=write_errors(done.value.errors),
            timings=_timings(callers, done),
        )

    async def _unserved(self, request: object, context: Context) -> NoReturn:  # noqa: ARG002
        raise Unimplemented("the method is not served by this version")

    Classify = TagTokens = Rank = Analyze = _unserved

    def _callers(
        self, contexts: Sequence[types.CallContext], count: int, context: Context
    ) -> tuple[Caller, ...]:
        return read_callers(contexts, count, context, self._limits.default_timeout)

    async def _run(self, task: str, size: int, work: Callable[[], Outcome]) -> Done[Outcome]:
        done = await self._workers.run(size, work)
        self._metrics.observe_call(task, done)
        return done


def _timings(callers: Sequence[Caller], done: Done[Outcome]) -> list[types.StageTiming]:
    return [stage_timing(done.queue, done.compute) for _ in callers]
