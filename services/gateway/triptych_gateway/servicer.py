"""The gRPC edge: GatewayService over the same platform as REST."""

from __future__ import annotations

import time
from typing import Any, Final

import grpc.aio

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_gateway import identity
from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.guard import Guard
from triptych_gateway.messages import (
    embed_response,
    head_message,
    model_message,
    pieces_response,
    read_chunking,
    read_document_options,
    read_embed_options,
    read_inputs,
    read_piece_options,
    read_text_options,
    similarity_response,
)
from triptych_gateway.models.router import Router
from triptych_gateway.models.target import Target
from triptych_gateway.platform import Platform
from triptych_gateway.settings import GatewaySettings
from triptych_gateway.task_messages import (
    analyze_response,
    classify_response,
    rank_response,
    read_analyze_inputs,
    read_classify_options,
    read_ranking,
    read_tag_options,
    read_tasks,
    read_texts,
    tag_response,
)
from triptych_gateway.tasks import Origin, Pair

Context = grpc.aio.ServicerContext

INPUTS: Final = Names("inputs[{}]", "inputs[{}].pair.first", "inputs[{}].pair.second")
PAIRS: Final = Names("pairs[{}]")
DOCUMENTS: Final = Names("documents[{}]", "query", "documents[{}]")


class GatewayServicer(rpc.GatewayServiceServicer):
    """Text in, answer out. Errors are turned into statuses by servicekit's interceptor."""

    def __init__(
        self, platform: Platform, settings: GatewaySettings, router: Router | None = None
    ) -> None:
        self._guard = Guard(platform, Bounds.of(settings.requests), router or Router())
        self._timeout = settings.requests.timeout

    async def Embed(  # noqa: N802
        self, request: pb.EmbedRequest, context: Context[Any, Any]
    ) -> pb.EmbedResponse:
        """Embeddings."""
        started = time.perf_counter()
        origin = self._origin(context)
        target = self._resolve(request.model)
        self._guard.bounds.check_count(len(request.inputs), "inputs")
        if chunking := read_chunking(request):
            return await self._pieces(request, target, chunking == "late", origin, started)
        embedded = await self._guard.embed(
            target,
            read_inputs(request.inputs),
            INPUTS,
            read_document_options(request.text),
            read_embed_options(request.options, request.pooling),
            origin,
        )
        return embed_response(embedded, time.perf_counter() - started)

    async def _pieces(
        self, request: pb.EmbedRequest, target: Target, late: bool, origin: Origin, started: float
    ) -> pb.EmbedResponse:
        found = await self._guard.pieces(
            target,
            read_texts(request.inputs, "embed piece by piece"),
            INPUTS,
            read_piece_options(request.text),
            read_embed_options(request.options, request.pooling),
            late,
            origin,
        )
        return pieces_response(found, time.perf_counter() - started)

    async def Similarity(  # noqa: N802
        self, request: pb.SimilarityRequest, context: Context[Any, Any]
    ) -> pb.SimilarityResponse:
        """Cosines of pairs."""
        started = time.perf_counter()
        origin = self._origin(context)
        target = self._resolve(request.model)
        self._guard.bounds.check_count(len(request.pairs), "pairs")
        pairs = [Pair(pair.first, pair.second) for pair in request.pairs]
        text = read_text_options(request.text)
        found = await self._guard.similarity(target, pairs, PAIRS, text, origin)
        return similarity_response(found, time.perf_counter() - started)

    async def Classify(  # noqa: N802
        self, request: pb.ClassifyRequest, context: Context[Any, Any]
    ) -> pb.ClassifyResponse:
        """Classes."""
        started = time.perf_counter()
        origin = self._origin(context)
        target = self._resolve(request.model)
        self._guard.bounds.check_count(len(request.inputs), "inputs")
        found = await self._guard.classify(
            target,
            read_inputs(request.inputs),
            INPUTS,
            read_document_options(request.text),
            read_classify_options(request.options),
            origin,
        )
        return classify_response(found, time.perf_counter() - started)

    async def TagTokens(  # noqa: N802
        self, request: pb.TagTokensRequest, context: Context[Any, Any]
    ) -> pb.TagTokensResponse:
        """Entities."""
        started = time.perf_counter()
        origin = self._origin(context)
        target = self._resolve(request.model)
        self._guard.bounds.check_count(len(request.inputs), "inputs")
        found = await self._guard.tag(
            target,
            read_texts(request.inputs),
            INPUTS,
            read_document_options(request.text),
            read_tag_options(request.options),
            origin,
        )
        return tag_response(found, time.perf_counter() - started)

    async def Rank(  # noqa: N802
        self, request: pb.RankRequest, context: Context[Any, Any]
    ) -> pb.RankResponse:
        """Documents by relevance."""
        started = time.perf_counter()
        origin = self._origin(context)
        target = self._resolve(request.model)
        self._guard.bounds.check_count(len(request.documents), "documents")
        ranking, text = read_ranking(request), read_text_options(request.text)
        found = await self._guard.rank(target, ranking, DOCUMENTS, text, origin)
        return rank_response(found, request, time.perf_counter() - started)

    async def Analyze(  # noqa: N802
        self, request: pb.AnalyzeRequest, context: Context[Any, Any]
    ) -> pb.AnalyzeResponse:
        """Several tasks of one pass."""
        started = time.perf_counter()
        origin = self._origin(context)
        target = self._resolve(request.model)
        self._guard.bounds.check_count(len(request.inputs), "inputs")
        self._guard.bounds.check_tasks(len(request.tasks))
        tasks = read_tasks(request.tasks)
        found = await self._guard.analyze(
            target,
            read_analyze_inputs(request.inputs, tasks),
            INPUTS,
            read_document_options(request.text),
            tasks,
            origin,
        )
        return analyze_response(found, time.perf_counter() - started)

    async def ListModels(  # noqa: N802
        self,
        request: pb.ListModelsRequest,  # noqa: ARG002
        context: Context[Any, Any],  # noqa: ARG002
    ) -> pb.ListModelsResponse:
        """The models."""
        catalog = self._guard.platform.catalog
        models = [model_message(model) for model in catalog.models()]
        targets = [catalog.resolve("", digest=head.digest) for head in catalog.heads()]
        heads = list(map(head_message, targets))
        return pb.ListModelsResponse(models=[*models, *heads])

    def _resolve(self, model: types.ModelRef) -> Target:
        return self._guard.platform.catalog.resolve(model.name, model.version, model.digest)

    def _origin(self, context: Context[Any, Any]) -> Origin:
        metadata = {key: value for key, value in context.invocation_metadata() or ()}  # noqa: C416
        traceparent, tracestate = identity.trace_context(
            str(metadata.get("traceparent", "")), str(metadata.get("tracestate", ""))
        )
        remaining = context.time_remaining()
        seconds = self._timeout if remaining is None else min(remaining, self._timeout)
        return Origin(
            deadline=time.monotonic() + seconds,
            request_id=identity.request_id(str(metadata.get("x-request-id", ""))),
            traceparent=traceparent,
            tracestate=tracestate,
            priority=identity.priority(str(metadata.get("x-priority", ""))),
        )
