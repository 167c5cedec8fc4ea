"""The replicas of a stage: found by name, watched by health, one connection for each address."""

import asyncio
import contextlib
import contextvars
import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

from triptych_gateway.addresses import Address, Replica, pods, resolve

logger = logging.getLogger(__name__)

# Pause before a health watch that ended is opened again, in seconds.
WATCH_RETRY: Final = 0.1

OpenChannel = Callable[[str, str], grpc.aio.Channel]


class ReplicaSet:
    """All replicas behind `targets`; `service` is the gRPC service whose health is watched.

    `open_channel` is given an address and the host name it stands for, `open_stub` the channel;
    `interval` is the number of seconds between look-ups. Where a mesh has one address for many
    pods, `counted` are targets with an address for each; without them an address is one replica.
    """

    def __init__(
        self,
        service: str,
        targets: Sequence[str],
        open_channel: OpenChannel,
        open_stub: Callable[[grpc.aio.Channel], Any],
        interval: float,
        counted: Sequence[str] = (),
    ) -> None:
        self._service = service
        self._targets = targets
        self._open_channel = open_channel
        self._open_stub = open_stub
        self._interval = interval
        self._counted = counted
        self._count = 1
        self._addresses: dict[str, Address] = {}
        self._resolver: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[], None]] = []
        self.down_since: float | None = None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a replica begins or ceases to serve."""
        self._listeners.append(listener)

    def serving(self) -> Sequence[Replica]:
        """Replicas whose health is SERVING."""
        serving = (address for address in self._addresses.values() if address.serving)
        return [replica for address in serving for replica in address.replicas]

    def suspect(self, replica: Replica) -> None:
        """Take a replica's address out until a new health watch says that it serves."""
        address = replica.address
        self._set(address, serving=False)
        if address.watch:
            address.watch.cancel()
            self._begin_watch(address)

    async def start(self) -> None:
        """Look the names up once, then again and again."""
        self.down_since = time.monotonic()
        await self._resolve()
        self._resolver = asyncio.create_task(self._keep_resolving())

    async def stop(self) -> None:
        """Close every connection."""
        if self._resolver:
            self._resolver.cancel()
        await asyncio.gather(*(self._close(address) for address in self._addresses.values()))
        await asyncio.gather(*self._closing)

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._resolve()

    async def _resolve(self) -> None:
        hosts = await resolve(self._targets)
        if hosts is None:
            return  # a failing resolver must not take working replicas away
        for name in hosts.keys() - self._addresses.keys():
            self._add(name, hosts[name])
        for name in self._addresses.keys() - hosts.keys():
            self._remove(name)
        if self._counted:
            await self._count_pods()

    async def _count_pods(self) -> None:
        """Share the pods out over the addresses, which are few."""
        found = await resolve(self._counted)
        if found:
            self._count = pods(found)
        share = -(-self._count // max(1, len(self._addresses)))
        before = len(self.serving())
        for address in self._addresses.values():
            address.count(share)
        if len(self.serving()) > before:
            self._notify()

    def _add(self, name: str, host: str) -> None:
        channel = self._open_channel(name, host)
        address = Address(name, channel, self._open_stub(channel))
        self._addresses[name] = address
        self._begin_watch(address)

    def _remove(self, name: str) -> None:
        address = self._addresses.pop(name)
        self._set(address, serving=False)
        task = asyncio.create_task(self._close_idle(address))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_idle(self, address: Address) -> None:
        while address.busy():  # noqa: ASYNC110 (the gatherer counts; this can wait)
            await asyncio.sleep(WATCH_RETRY)
        await self._close(address)

    async def _close(self, address: Address) -> None:
        if address.watch:
            address.watch.cancel()
            await asyncio.gather(address.watch, return_exceptions=True)
        await address.channel.close()

    def _begin_watch(self, address: Address) -> None:
        # In a context of its own: it outlives the request that may have given cause for it.
        address.watch = asyncio.create_task(self._watch(address), context=contextvars.Context())

    async def _watch(self, address: Address) -> None:
        """Follow the address's health for as long as it is one of ours."""
        stub: Any = health_pb2_grpc.HealthStub(address.channel)  # its types lack Watch
        request = health_pb2.HealthCheckRequest(service=self._service)
        serving = health_pb2.HealthCheckResponse.SERVING
        while True:
            heard = False
            with contextlib.suppress(grpc.aio.AioRpcError):
                # A replica that is thought to serve is asked at once; one that is not, waited for.
                async for response in stub.Watch(request, wait_for_ready=not address.serving):
                    heard = True
                    self._set(address, serving=response.status == serving)
            if heard and address.serving:
                continue  # a connection ends with its age, too: only silence means that it is gone
            self._set(address, serving=False)
            await asyncio.sleep(WATCH_RETRY)

    def _set(self, address: Address, serving: bool) -> None:
        if address.serving == serving:
            return
        address.serving = serving
        logger.info(
            "replica %s",
            "serves" if serving else "is gone",
            extra={"stage": self._service, "address": address.name},
        )
        if self.serving():
            self.down_since = None
        elif self.down_since is None:
            self.down_since = time.monotonic()
        self._notify()

    def _notify(self) -> None:
        for listener in self._listeners:
            listener()
