"""The gRPC edge of postprocess: convert, compute, convert."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

import grpc.aio

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_postprocess.lending import Lender
from triptych_postprocess.outcome import Job, expired
from triptych_postprocess.settings import Computing
from triptych_postprocess.telemetry import PostprocessMetrics
from triptych_postprocess.wire.analysis import Reader, head_fields
from triptych_postprocess.wire.classes import read_classify, write_classes
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
        lender: Lender,
        workers: Workers,
        metrics: PostprocessMetrics,
        limits: Limits,
        computing: Computing,
    ) -> None:
        self._lender = lender
        self._workers = workers
        self._metrics = metrics
        self._limits = limits
        self._computing = computing

    async def Embed(  # noqa: N802
        self, request: pb.PostprocessServiceEmbedRequest, context: Context
    ) -> pb.PostprocessServiceEmbedResponse:
        """Embeddings of every item whose vectors are sound."""
        async with self._lender.use(request.model, context) as lent:
            job = read_embed(request, lent.model.bundle, self._limits.max_items)
            answer = await self._run("embed", job, request.contexts, context)
        return pb.PostprocessServiceEmbedResponse(
            model=lent.ref,
            result=write_embeddings(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Similarity(  # noqa: N802
        self, request: pb.PostprocessServiceSimilarityRequest, context: Context
    ) -> pb.PostprocessServiceSimilarityResponse:
        """Cosines of every pair whose vectors are sound."""
        async with self._lender.use(request.model, context) as lent:
            width = lent.model.bundle.hidden_size
            job = read_similarity(request, width, self._limits.max_items)
            answer = await self._run("similarity", job, request.contexts, context)
        return pb.PostprocessServiceSimilarityResponse(
            model=lent.ref,
            result=write_similarities(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Classify(  # noqa: N802
        self, request: pb.PostprocessServiceClassifyRequest, context: Context
    ) -> pb.PostprocessServiceClassifyResponse:
        """Classes of every item whose vector or logits are sound."""
        name, field = request.options.head, "options.head"
        async with self._lender.use(request.model, context, {name: field}) as lent:
            classifier = lent.head(name, field)
            job = read_classify(request, classifier, self._limits.max_items)
            answer = await self._run("classify", job, request.contexts, context)
        return pb.PostprocessServiceClassifyResponse(
            model=lent.ref,
            result=write_classes(classifier.head.labels, answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def TagTokens(  # noqa: N802
        self, request: pb.PostprocessServiceTagTokensRequest, context: Context
    ) -> pb.PostprocessServiceTagTokensResponse:
        """Entities of every item whose logits are sound."""
        async with self._lender.use(request.model, context) as lent:
            scheme, options = scheme_of(lent.model), read_tag_options(request.options, "options")
            limits = self._limits.max_items, self._computing.max_call_tokens
            job = read_tag(request, scheme, options, *limits)
            answer = await self._run("tag", job, request.contexts, context)
        return pb.PostprocessServiceTagTokensResponse(
            model=lent.ref,
            result=write_entities(options.labels(scheme), answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Rank(  # noqa: N802
        self, request: pb.PostprocessServiceRankRequest, context: Context
    ) -> pb.PostprocessServiceRankResponse:
        """Rankings of every query all of whose vectors or logits are sound."""
        name, field = request.head, "head"
        async with self._lender.use(request.model, context, {name: field}) as lent:
            head, width = partial(lent.head, name, field), lent.model.bundle.hidden_size
            job = read_rank(request, width, head, self._limits.max_items)
            answer = await self._run("rank", job, request.contexts, context)
        return pb.PostprocessServiceRankResponse(
            model=lent.ref,
            result=write_rankings(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

    async def Analyze(  # noqa: N802
        self, request: pb.PostprocessServiceAnalyzeRequest, context: Context
    ) -> pb.PostprocessServiceAnalyzeResponse:
        """Answers to several tasks, for the items that none of them fails."""
        async with self._lender.use(request.model, context, head_fields(request)) as lent:
            limits = self._limits.max_items, self._computing.max_call_tokens
            analysis = Reader(request, lent.model, lent.head, *limits).read()
            answer = await self._run("analyze", analysis.job, request.contexts, context)
        return pb.PostprocessServiceAnalyzeResponse(
            model=lent.ref,
            results=analysis.write(answer.rows),
            errors=answer.errors,
            timings=answer.timings,
        )

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
        timings = [stage_timing(done.queue, done.compute)] * len(callers)
        return Answer(done.value.rows, write_errors(done.value.errors), timings)
