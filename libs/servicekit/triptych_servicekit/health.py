"""grpc.health.v1 whose watchers do not hold up a stopping server."""

from __future__ import annotations

import asyncio
from typing import Any

import grpc.aio
from grpc_health.v1 import health, health_pb2


class DrainingHealthServicer(health.aio.HealthServicer):
    """The library's servicer, with watches that end when the server stops accepting.

    A watch is a call in progress for as long as its client likes; without this every stop would
    last its whole grace.
    """

    def __init__(self) -> None:
        super().__init__()
        self._draining = asyncio.Event()

    def end_watches(self) -> None:
        """End every watch, now and from now on."""
        self._draining.set()

    async def Watch(  # noqa: N802
        self,
        request: health_pb2.HealthCheckRequest,
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> None:
        """Stream a service's status until the client leaves or the server drains."""
        watching = asyncio.ensure_future(super().Watch(request, context))
        draining = asyncio.ensure_future(self._draining.wait())
        try:
            await asyncio.wait({watching, draining}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            watching.cancel()
            draining.cancel()
