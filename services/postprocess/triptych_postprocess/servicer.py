"""The gRPC edge of postprocess: convert, compute, convert."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import grpc.aio

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_postprocess.heads import Classifier
from triptych_postprocess.loading import PostprocessModel
from triptych_postprocess.outcome import Job, expired
from triptych_postprocess.settings import Computing
from triptych_postprocess.telemetry import PostprocessMetrics
from triptych_postprocess.wire.analysis import Reader
from triptych_postprocess.wire.classes import FindHead, find_head, read_classify, write_classes
from triptych_postprocess.wire.ranks import read_rank, write_rankings
from triptych_postprocess.wire.tokens import (
    read_tag,
    read_tag_options,
    scheme_of,
    write_entities,
)
from triptych_postprocess.wire.vectors import (
    read_embed,
    read_similarity,
    write_embeddings,
    write_similarities,
)
from triptych_postprocess.workers import Workers
from triptych_servicekit.callers import read_callers, stage_timing
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.groups import Limits
from triptych_servicekit.items import write_errors
from triptych_servicekit.registry import Registry

R = TypeVar("R")
OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class Answer(Generic[R]):
    """What a call made of its items, and what every response says beside it."""

    rows: R
    errors: list[types.ItemError]
    timings: list[types.StageTiming]


class PostprocessServicer(rpc.PostprocessServiceServicer):
    """Serves PostprocessService."""

    def __init__(
        self,
        models: Registry[PostprocessModel],
        heads: Registry[Classifier],
        workers: Workers,
        metrics: PostprocessMetrics,
        limits: Limits,
        computing: Computing,
    ) -> None:
        self._models = models
        self._heads = heads
        self._workers = workers
        self._metrics = metrics
        self._limits = limits
        self._computing = computing

    async def Embed(  # noqa: N802
        self, request: pb.PostprocessServiceEmbedRequest, context: Context
    ) -> pb.PostprocessServiceEmbedResponse:
        """Embeddings of every item whose vectors are sound."""
        held = self._models.find(request.model)
        job = read_embed(request, held.value.bundle, self._limits.max_items)
        answer = await self._run("embed", job, request.contexts, context)
        return pb.PostprocessServiceEmbedResponse(
            model=held.model,
            result=write_embeddings(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Similarity(  # noqa: N802
        self, request: pb.PostprocessServiceSimilarityRequest, context: Context
    ) -> pb.PostprocessServiceSimilarityResponse:
        """Cosines of every pair whose vectors are sound."""
        held = self._models.find(request.model)
        job = read_similarity(request, held.value.bundle.hidden_size, self._limits.max_items)
        answer = await self._run("similarity", job, request.contexts, context)
        return pb.PostprocessServiceSimilarityResponse(
            model=held.model,
            result=write_similarities(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Classify(  # noqa: N802
        self, request: pb.PostprocessServiceClassifyRequest, context: Context
    ) -> pb.PostprocessServiceClassifyResponse:
        """Classes of every item whose vector or logits are sound."""
        held = self._models.find(request.model)
        classifier = self._finder(held.value)(request.options.head, "options.head")
        job = read_classify(request, classifier, self._limits.max_items)
        answer = await self._run("classify", job, request.contexts, context)
        return pb.PostprocessServiceClassifyResponse(
            model=held.model,
            result=write_classes(classifier.head.labels, answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def TagTokens(  # noqa: N802
        self, request: pb.PostprocessServiceTagTokensRequest, context: Context
    ) -> pb.PostprocessServiceTagTokensResponse:
        """Entities of every item whose logits are sound."""
        held = self._models.find(request.model)
        scheme, options = scheme_of(held.value), read_tag_options(request.options, "options")
        limits = self._limits.max_items, self._computing.max_call_tokens
        job = read_tag(request, scheme, options, *limits)
        answer = await self._run("tag", job, request.contexts, context)
        return pb.PostprocessServiceTagTokensResponse(
            model=held.model,
            result=write_entities(options.labels(scheme), answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Rank(  # noqa: N802
        self, request: pb.PostprocessServiceRankRequest, context: Context
    ) -> pb.PostprocessServiceRankResponse:
        """Rankings of every query all of whose vectors or logits are sound."""
        held = self._models.find(request.model)
        head = partial(self._finder(held.value), request.head, "head")
        job = read_rank(request, held.value.bundle.hidden_size, head, self._limits.max_items)
        answer = await self._run("rank", job, request.contexts, context)
        return pb.PostprocessServiceRankResponse(
            model=held.model,
            result=write_rankings(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Analyze(  # noqa: N802
        self, request: pb.PostprocessServiceAnalyzeRequest, context: Context
    ) -> pb.PostprocessServiceAnalyzeResponse:
        """Answers to several tasks, for the items that none of them fails."""
        held = self._models.find(request.model)
        limits = self._limits.max_items, self._computing.max_call_tokens
        analysis = Reader(request, held.value, self._finder(held.value), *limits).read()
        answer = await self._run("analyze", analysis.job, request.contexts, context)
        return pb.PostprocessServiceAnalyzeResponse(
            model=held.model,
            results=analysis.write(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    def _finder(self, model: PostprocessModel) -> FindHead:
        return partial(find_head, self._heads, model)

    async def _run(
        self, task: str, job: Job[R], contexts: Sequence[types.CallContext], context: Context
    ) -> Answer[R]:
        limit = self._computing.max_output_bytes
        if job.output > limit:
            message = f"the answer would take {job.output} bytes, the limit is {limit}"
            raise InvalidArgument(message, reason=OUTPUT_TOO_LARGE)
        callers = read_callers(contexts, job.count, context, self._limits.default_timeout)
        done = await self._workers.run(job.size, lambda: job.work(expired(callers)))
        self._metrics.observe_call(task, job.count, done)
        timings = [stage_timing(done.queue, done.compute) for _ in callers]
        return Answer(done.value.rows, write_errors(done.value.errors), timings)
