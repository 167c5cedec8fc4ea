"""Serving: a service from its first bound port to its last released resource.

Start: bind every port → answer health with NOT_SERVING → `application.start()` → SERVING.
Stop, on SIGTERM or SIGINT: NOT_SERVING → stop accepting → finish within grace → cancel → release.
"""

import asyncio
import contextlib
import gc
import logging
from collections.abc import AsyncIterator, Sequence
from typing import cast

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from triptych.v1.multiplex_service_pb2_grpc import add_MultiplexServiceServicer_to_server
from triptych_servicekit.admin import AdminListener, admin_listener
from triptych_servicekit.application import Application, Settings
from triptych_servicekit.channels import bind, server_credentials, server_options
from triptych_servicekit.guard import CallGuard
from triptych_servicekit.health import DrainingHealthServicer
from triptych_servicekit.http import AsgiApp, HttpListener
from triptych_servicekit.interceptor import CallInterceptor
from triptych_servicekit.multiplexing import SERVICE_NAME, MultiplexServicer, Registration
from triptych_servicekit.operations import operations_app
from triptych_servicekit.stores import BundleStore

logger = logging.getLogger(__name__)

# How often the health that callers watch is held against the application's real state.
HEALTH_INTERVAL = 0.25
# How long connections stay open after the last answer was written: closed at once, what the kernel
# still holds of a large answer is lost with them.
FLUSH_SECONDS = 0.25
# Objects made before the collector looks at the youngest, and looks before it looks at those that
# are older. Python's own 700 are those of a dozen requests, all still in progress: it took 6 % of
# the gateway's time to find that. What a request leaves behind is freed without the collector.
COLLECTOR_THRESHOLDS = (10_000, 10, 10)


class Server:
    """A running application. `port` and the others of that kind are the real ones."""

    def __init__(self, application: Application, settings: Settings) -> None:
        self._application = application
        self._settings = settings
        self._serving = False
        self._health = DrainingHealthServicer()
        self._guard = CallGuard(
            application.metrics,
            settings.limits.max_concurrent_requests,
            lambda: self._serving,
        )
        self._grpc = self._build_grpc()
        self._names = [*self._register(), ""]
        names = [*self._names[:-1], health.SERVICE_NAME, reflection.SERVICE_NAME]
        reflection.enable_server_reflection(names, self._grpc)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._grpc)
        self.port = self._bind_grpc()
        self._admin = self._build_admin()
        self.admin_port = self._admin.port if self._admin else None
        self._operations = self._build_operations()
        self.operations_port = self._operations.port
        self._http = self._build_http()
        self.http_port = self._http.port if self._http else None
        self._watch: asyncio.Task[None] | None = None

    def _build_grpc(self) -> grpc.aio.Server:
        settings = self._settings
        return grpc.aio.server(
            interceptors=[CallInterceptor(self._guard)],
            options=server_options(settings.limits, settings.lifecycle),
        )

    def _register(self) -> Sequence[str]:
        """Add the application's services; returns their names."""
        application, server = self._application, self._grpc
        if not getattr(application, "multiplexed", False):
            return application.register(server)
        registration = Registration(server)
        names = application.register(cast("grpc.aio.Server", registration))
        limit, grace = self._settings.limits.max_message_bytes, self._settings.lifecycle.grace
        servicer = MultiplexServicer(registration.methods, self._guard, limit, grace)
        add_MultiplexServiceServicer_to_server(servicer, server)
        return [*names, SERVICE_NAME]

    def _bind_grpc(self) -> int:
        listen = self._settings.listen
        address = f"{listen.host}:{listen.port}"
        return bind(self._grpc, address, server_credentials(self._settings.tls))

    def _build_operations(self) -> HttpListener:
        listen = self._settings.listen
        app = operations_app(
            self._application.metrics, self._application.dead, self._reasons_not_to_call
        )
        return HttpListener(
            app, listen.operations_host, listen.operations_port, self._settings.tls, grace=1
        )

    def _build_http(self) -> HttpListener | None:
        application, grace = self._application, self._settings.lifecycle.grace
        app: AsgiApp | None = getattr(application, "http_app", None)
        if app is None:
            return None
        host, port = application.http_host, application.http_port  # type: ignore[attr-defined]
        protocol = application.http_protocol  # type: ignore[attr-defined]
        return HttpListener(app, host, port, self._settings.tls, grace, protocol)

    def _build_admin(self) -> AdminListener | None:
        application, settings = self._application, self._settings
        bundles: BundleStore | None = getattr(application, "bundles", None)
        if bundles is None:
            return None
        return admin_listener(
            application.admin,  # type: ignore[attr-defined]
            settings.tls,
            settings.limits,
            settings.lifecycle,
            application.metrics,
            lambda: self._serving,
            bundles,
        )

    def _reasons_not_to_call(self) -> Sequence[str]:
        if not self._serving:
            return ["starting or stopping"]
        return self._application.unready()

    async def start(self) -> None:
        """Answer health, load, then serve."""
        await self._operations.start()
        await self._publish(False)
        await self._grpc.start()
        if self._admin:
            await self._admin.start()
        await self._application.start()
        if self._http:
            await self._http.start()
        # What was loaded mostly stays: the collector need not look at it again and again. What is
        # unloaded later is freed by its last reference.
        gc.collect()
        gc.freeze()
        gc.set_threshold(*COLLECTOR_THRESHOLDS)
        self._serving = True
        self._watch = asyncio.create_task(self._watch_health())
        if problems := self._application.unready():
            logger.warning("started, not ready", extra={"problems": list(problems)})
        logger.info("listening", extra=self._ports())

    def _ports(self) -> dict[str, int]:
        ports = {
            "grpc": self.port,
            "operations": self.operations_port,
            "http": self.http_port,
            "admin": self.admin_port,
        }
        return {name: port for name, port in ports.items() if port is not None}

    async def died(self) -> Sequence[str]:
        """Wait until the process should be replaced; returns why."""
        while not (problems := self._application.dead()):  # noqa: ASYNC110 (it is only asked)
            await asyncio.sleep(HEALTH_INTERVAL)
        return problems

    async def stop(self) -> None:
        """The five steps. Safe to call after a start that failed."""
        if self._watch:
            self._watch.cancel()
            await self._health.enter_graceful_shutdown()
            logger.info("stopping")
            await asyncio.sleep(self._settings.lifecycle.drain_delay)
        others = [listener.stop() for listener in (self._http, self._admin) if listener]
        await asyncio.gather(self._finish_calls(), *others)
        self._health.end_watches()
        await self._grpc.stop(0)
        await self._application.stop()
        await self._operations.stop()
        logger.info("stopped")

    async def _finish_calls(self) -> None:
        """Refuse new calls and wait, within grace, until those in progress are answered."""
        was_serving, self._serving = self._serving, False
        if was_serving:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._settings.lifecycle.grace):
                    await self._guard.idle()
            await asyncio.sleep(FLUSH_SECONDS)

    async def _watch_health(self) -> None:
        while True:
            await self._publish(not (self._application.dead() or self._application.unready()))
            await asyncio.sleep(HEALTH_INTERVAL)

    async def _publish(self, serving: bool) -> None:
        states = health_pb2.HealthCheckResponse
        for name in self._names:
            await self._health.set(name, states.SERVING if serving else states.NOT_SERVING)


@contextlib.asynccontextmanager
async def running(application: Application, settings: Settings) -> AsyncIterator[Server]:
    """A started server, stopped in order at the end of the block."""
    server = Server(application, settings)
    try:
        await server.start()
        yield server
    finally:
        await server.stop()
