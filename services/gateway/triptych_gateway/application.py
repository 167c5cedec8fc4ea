"""The gateway put together: repository → stages → pipeline → REST and gRPC."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import grpc.aio
from google.protobuf.descriptor import FileDescriptor, ServiceDescriptor

from triptych.v1 import (
    encoder_service_pb2,
    encoder_service_pb2_grpc,
    gateway_service_pb2,
    postprocess_service_pb2,
    postprocess_service_pb2_grpc,
    tokenizer_service_pb2,
    tokenizer_service_pb2_grpc,
)
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych_gateway.admission import Admission
from triptych_gateway.calls import GrpcCalls
from triptych_gateway.connection import BoundedProtocol
from triptych_gateway.entries import Window
from triptych_gateway.gather import Gatherer
from triptych_gateway.models.administration import CatalogStore
from triptych_gateway.models.metrics import RoutingMetrics
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.router import Router
from triptych_gateway.models.shadow import Shadows
from triptych_gateway.models.watching import CatalogWatch
from triptych_gateway.multiplexing import MultiplexedStub
from triptych_gateway.pipeline import Pipeline
from triptych_gateway.replicas import ReplicaSet
from triptych_gateway.retries import RetryBudget
from triptych_gateway.routes import build_app
from triptych_gateway.seams import StageSet
from triptych_gateway.servicer import GatewayServicer
from triptych_gateway.settings import GatewaySettings
from triptych_gateway.stage import Stage
from triptych_gateway.telemetry import GatewayMetrics
from triptych_servicekit.channels import channel

StubType = Callable[[grpc.aio.Channel], Any]


class GatewayApplication:
    """See servicekit's HttpApplication."""

    name = "gateway"
    http_protocol = BoundedProtocol

    def __init__(self, settings: GatewaySettings) -> None:
        self._settings = settings
        self.metrics = GatewayMetrics()
        self._stages = self._build_stages()
        admission = Admission(settings.requests, lambda: self._pipeline.pending_tokens > 0)
        self._watch = CatalogWatch.of(settings.models)
        self.bundles = CatalogStore(self._watch)
        self.admin = settings.admin
        self._router = self._build_router(self._watch.catalog.rollout)
        self._pipeline = Pipeline(
            self._watch.catalog,
            StageSet(*self._stages),
            GrpcCalls(),
            admission,
            settings.gathering,
        )
        self.http_app = build_app(self._pipeline, settings, self.metrics, self._router)
        self.http_host = settings.http.host
        self.http_port = settings.http.port
        self.metrics.gauge(
            "pending_tokens",
            "Tokens, by estimate, held here for the encoder.",
            lambda: self._pipeline.pending_tokens,
        )

    def _build_router(self, rollout: Rollout) -> Router:
        self.metrics.gauge("models_held_off", "Bundles that a stage lacked.", rollout.held_off)
        metrics = RoutingMetrics(self.metrics)
        return Router(rollout, metrics, Shadows(self._settings.models.max_shadow_requests, metrics))

    def _build_stages(self) -> tuple[Stage, Stage, Stage]:
        gathering, targets = self._settings.gathering, self._settings.stages
        calls = gathering.stage_calls
        characters, rows = gathering.tokenizer_call_characters, gathering.postprocess_call_rows
        texts = Window(calls, calls * characters, characters)
        vectors = Window(calls, calls * rows, rows)
        heavy = Window(calls, gathering.window_tokens, gathering.call_tokens)
        return (
            self._stage(
                "tokenizer", tokenizer_service_pb2.DESCRIPTOR, targets.tokenizer,
                targets.tokenizer_pods, tokenizer_service_pb2_grpc.TokenizerServiceStub, texts,
            ),
            self._stage(
                "encoder", encoder_service_pb2.DESCRIPTOR, targets.encoder,
                targets.encoder_pods, encoder_service_pb2_grpc.EncoderServiceStub, heavy,
            ),
            self._stage(
                "postprocess", postprocess_service_pb2.DESCRIPTOR, targets.postprocess,
                targets.postprocess_pods, postprocess_service_pb2_grpc.PostprocessServiceStub,
                vectors,
            ),
        )  # fmt: skip

    def _stage(
        self, name: str, contract: FileDescriptor, targets: Sequence[str], pods: Sequence[str],
        stub: StubType, window: Window,
    ) -> Stage:  # fmt: skip
        retries, stages = self._settings.retries, self._settings.stages
        (service,) = contract.services_by_name.values()
        if stages.streams and not pods:
            stub = _multiplexed(service, stub, self._settings.limits.max_message_bytes)
        replicas = ReplicaSet(
            service.full_name, targets, self._open_channel, stub, stages.resolve_interval, pods
        )
        self.metrics.count_replicas(name, lambda: len(replicas.serving()))
        budget = RetryBudget(retries.budget_ratio, retries.budget_reserve)
        gatherer = Gatherer(replicas, window, budget, self.metrics.stage(name))
        return Stage(name, replicas, gatherer, retries.hold_timeout)

    def _open_channel(self, address: str, host: str) -> grpc.aio.Channel:
        tls = self._settings.peer_tls
        named = replace(tls, server_name=tls.server_name or host)
        return channel(address, self._settings.limits, named)

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add GatewayService."""
        servicer = GatewayServicer(self._pipeline, self._settings, self._router)
        rpc.add_GatewayServiceServicer_to_server(servicer, server)
        return [gateway_service_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name]

    async def start(self) -> None:
        """Connect to the stages. Whether they serve is readiness, not start."""
        await self._watch.start()
        for stage in self._stages:
            await stage.start()

    async def stop(self) -> None:
        """Disconnect."""
        await self._watch.stop()
        await self._router.stop()
        await self._pipeline.stop()
        for stage in self._stages:
            await stage.stop()

    def dead(self) -> Sequence[str]:
        """Nothing here can break for good."""
        return []

    def unready(self) -> Sequence[str]:
        """Stages and models that are missing."""
        return self._pipeline.unready()


def _multiplexed(service: ServiceDescriptor, stub: StubType, max_message_bytes: int) -> StubType:
    return lambda opened: MultiplexedStub(service, stub(opened), opened, max_message_bytes)
