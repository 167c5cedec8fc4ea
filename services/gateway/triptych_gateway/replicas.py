"""The replicas of a stage: found by name, watched by health, one connection each."""

import asyncio
import contextlib
import contextvars
import logging
import socket
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
from grpc_health.v1 import health_pb2, health_pb2_grpc

logger = logging.getLogger(__name__)

# Pause before a health watch that ended is opened again, in seconds.
WATCH_RETRY: Final = 0.1

OpenChannel = Callable[[str, str], grpc.aio.Channel]


class Replica:
    """One address of a stage.

    `calls` and `weight`, which are in flight, and `turn` are kept by the gatherer.
    """

    def __init__(self, address: str, channel: grpc.aio.Channel, stub: Any) -> None:
        self.address = address
        self.channel = channel
        self.stub = stub
        self.serving = False
        self.calls = 0
        self.weight = 0
        self.turn = 0
        self.watch: asyncio.Task[None] | None = None


class ReplicaSet:
    """All replicas behind `targets`; `service` is the gRPC service whose health is watched.

    `open_channel` is given an address and the host name it stands for, `open_stub` the channel;
    `interval` is the number of seconds between look-ups.
    """

    def __init__(
        self,
        service: str,
        targets: Sequence[str],
        open_channel: OpenChannel,
        open_stub: Callable[[grpc.aio.Channel], Any],
        interval: float,
    ) -> None:
        self._service = service
        self._targets = targets
        self._open_channel = open_channel
        self._open_stub = open_stub
        self._interval = interval
        self._replicas: dict[str, Replica] = {}
        self._resolver: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[], None]] = []
        self.down_since: float | None = None

    def on_change(self, listener: Callable[[], None]) -> None:
        """Call `listener` whenever a replica begins or ceases to serve."""
        self._listeners.append(listener)

    def serving(self) -> Sequence[Replica]:
        """Replicas whose health is SERVING."""
        return [replica for replica in self._replicas.values() if replica.serving]

    def suspect(self, replica: Replica) -> None:
        """Take a replica out until a new health watch says that it serves."""
        self._set(replica, serving=False)
        if replica.watch:
            replica.watch.cancel()
            self._begin_watch(replica)

    async def start(self) -> None:
        """Look the names up once, then again and again."""
        self.down_since = time.monotonic()
        await self._resolve()
        self._resolver = asyncio.create_task(self._keep_resolving())

    async def stop(self) -> None:
        """Close every connection."""
        if self._resolver:
            self._resolver.cancel()
        await asyncio.gather(*(self._close(replica) for replica in self._replicas.values()))
        await asyncio.gather(*self._closing)

    async def _keep_resolving(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            await self._resolve()

    async def _resolve(self) -> None:
        hosts: dict[str, str] = {}
        for target in self._targets:
            try:
                hosts |= await _addresses(target)
            except OSError as error:
                logger.warning("cannot resolve %s: %s", target, error.strerror)
                return  # a failing resolver must not take working replicas away
        for address in hosts.keys() - self._replicas.keys():
            self._add(address, hosts[address])
        for address in self._replicas.keys() - hosts.keys():
            self._remove(address)

    def _add(self, address: str, host: str) -> None:
        channel = self._open_channel(address, host)
        replica = Replica(address, channel, self._open_stub(channel))
        self._replicas[address] = replica
        self._begin_watch(replica)

    def _remove(self, address: str) -> None:
        replica = self._replicas.pop(address)
        self._set(replica, serving=False)
        task = asyncio.create_task(self._close_idle(replica))
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)

    async def _close_idle(self, replica: Replica) -> None:
        while replica.calls:  # noqa: ASYNC110 (the gatherer counts; this can wait)
            await asyncio.sleep(WATCH_RETRY)
        await self._close(replica)

    async def _close(self, replica: Replica) -> None:
        if replica.watch:
            replica.watch.cancel()
            await asyncio.gather(replica.watch, return_exceptions=True)
        await replica.channel.close()

    def _begin_watch(self, replica: Replica) -> None:
        # In a context of its own: it outlives the request that may have given cause for it.
        replica.watch = asyncio.create_task(self._watch(replica), context=contextvars.Context())

    async def _watch(self, replica: Replica) -> None:
        """Follow the replica's health for as long as it is one of ours."""
        stub: Any = health_pb2_grpc.HealthStub(replica.channel)  # its types lack Watch
        request = health_pb2.HealthCheckRequest(service=self._service)
        serving = health_pb2.HealthCheckResponse.SERVING
        while True:
            heard = False
            with contextlib.suppress(grpc.aio.AioRpcError):
                # A replica that is thought to serve is asked at once; one that is not, waited for.
                async for response in stub.Watch(request, wait_for_ready=not replica.serving):
                    heard = True
                    self._set(replica, serving=response.status == serving)
            if heard and replica.serving:
                continue  # a connection ends with its age, too: only silence means that it is gone
            self._set(replica, serving=False)
            await asyncio.sleep(WATCH_RETRY)

    def _set(self, replica: Replica, serving: bool) -> None:
        if replica.serving == serving:
            return
        replica.serving = serving
        logger.info(
            "replica %s",
            "serves" if serving else "is gone",
            extra={"stage": self._service, "address": replica.address},
        )
        if self.serving():
            self.down_since = None
        elif self.down_since is None:
            self.down_since = time.monotonic()
        for listener in self._listeners:
            listener()


async def _addresses(target: str) -> dict[str, str]:
    """Socket addresses of `host:port`, each with the host name it came from."""
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    return {_format(str(info[4][0]), int(info[4][1])): host for info in found}


def _format(ip: str, port: int) -> str:
    return f"ipv6:[{ip}]:{port}" if ":" in ip else f"ipv4:{ip}:{port}"
