"""What a service is to the server that starts, watches and stops it."""

import asyncio
from collections.abc import Sequence
from typing import Protocol

import grpc.aio

from triptych_servicekit.groups import Admin, Lifecycle, Limits, Listen, Telemetry, Tls
from triptych_servicekit.http import AsgiApp
from triptych_servicekit.metrics import Metrics
from triptych_servicekit.stores import BundleStore


class Settings(Protocol):
    """The groups that serving needs of a service's settings."""

    @property
    def listen(self) -> Listen: ...
    @property
    def tls(self) -> Tls: ...
    @property
    def limits(self) -> Limits: ...
    @property
    def lifecycle(self) -> Lifecycle: ...
    @property
    def telemetry(self) -> Telemetry: ...


class Application(Protocol):
    """What a service is to its server."""

    @property
    def name(self) -> str: ...
    @property
    def metrics(self) -> Metrics: ...

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add the servicers to `server`; returns the full names of their gRPC services."""

    async def start(self) -> None:
        """Load and warm up. The application is called only after this has returned."""

    async def stop(self) -> None:
        """Release everything. No call is in progress any more."""

    def dead(self) -> Sequence[str]:
        """Why the process should be replaced; empty while it is sound."""

    def unready(self) -> Sequence[str]:
        """Why the application should not be called now; empty while it can answer."""


class MultiplexedApplication(Application, Protocol):
    """An application whose methods can be called over one stream, too."""

    @property
    def multiplexed(self) -> bool: ...


class HttpApplication(Application, Protocol):
    """An application with an HTTP listener beside the gRPC one."""

    @property
    def http_app(self) -> AsgiApp: ...
    @property
    def http_host(self) -> str: ...
    @property
    def http_port(self) -> int: ...
    @property
    def http_protocol(self) -> type[asyncio.Protocol]: ...


class AdminApplication(Application, Protocol):
    """An application whose bundles can be loaded and unloaded by request."""

    @property
    def admin(self) -> Admin: ...
    @property
    def bundles(self) -> BundleStore: ...
