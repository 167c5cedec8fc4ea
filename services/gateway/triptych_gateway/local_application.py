"""Both edges of the gateway over LocalPlatform, on free ports."""

import contextlib
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import grpc.aio

from triptych.v1 import gateway_service_pb2
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych_gateway.connection import BoundedProtocol
from triptych_gateway.local_platform import LocalPlatform
from triptych_gateway.routes import build_app
from triptych_gateway.servicer import GatewayServicer
from triptych_gateway.settings import GatewaySettings, Listen
from triptych_servicekit.groups import Lifecycle
from triptych_servicekit.metrics import Metrics
from triptych_servicekit.server import Server, running


class LocalApplication:
    """See servicekit's HttpApplication."""

    name = "gateway"
    http_protocol = BoundedProtocol

    def __init__(self, platform: LocalPlatform, settings: GatewaySettings) -> None:
        self._platform = platform
        self._settings = settings
        self.metrics = Metrics(self.name)
        self.http_app = build_app(platform, settings, self.metrics)
        self.http_host = settings.http.host
        self.http_port = settings.http.port

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add GatewayService."""
        servicer = GatewayServicer(self._platform, self._settings)
        rpc.add_GatewayServiceServicer_to_server(servicer, server)
        return [gateway_service_pb2.DESCRIPTOR.services_by_name["GatewayService"].full_name]

    async def start(self) -> None:
        """Nothing to load."""

    async def stop(self) -> None:
        """Nothing to release."""

    def dead(self) -> Sequence[str]:
        """Arithmetic does not break."""
        return []

    def unready(self) -> Sequence[str]:
        """The platform's problems."""
        return self._platform.unready()


@contextlib.asynccontextmanager
async def serving(
    platform: LocalPlatform, settings: GatewaySettings | None = None
) -> AsyncIterator[Server]:
    """A server over `platform`; the ports of `settings` are replaced by free ones."""
    settings = settings or GatewaySettings()
    free = replace(
        settings,
        listen=Listen(port=0, operations_port=0),
        http=replace(settings.http, port=0),
        lifecycle=Lifecycle(drain_delay=0, grace=5),
    )
    async with running(LocalApplication(platform, free), free) as server:
        yield server
