"""Addresses of a stage: found by name; each a pod's own or, in a mesh, that of several pods."""

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import grpc.aio

logger = logging.getLogger(__name__)


class Replica:
    """What a window of calls in flight is for: one address, or a share of an address of several.

    `calls` and `weight`, which are in flight, and `turn` are kept by the gatherer.
    """

    def __init__(self, address: "Address") -> None:
        self.address = address
        self.stub = address.stub
        self.calls = 0
        self.weight = 0
        self.turn = 0

    @property
    def serving(self) -> bool:
        """Whether its address serves."""
        return self.address.serving


class Address:
    """One address of a stage, which is a pod's own or, in a mesh, that of several pods."""

    def __init__(self, name: str, channel: grpc.aio.Channel, stub: Any) -> None:
        self.name = name
        self.channel = channel
        self.stub = stub
        self.serving = False
        self.watch: asyncio.Task[None] | None = None
        self._count = 1
        self._replicas = [Replica(self)]

    @property
    def replicas(self) -> Sequence[Replica]:
        """As many as pods are behind it."""
        return self._replicas[: self._count]

    def count(self, pods: int) -> None:
        """Be the address of so many."""
        self._replicas += [Replica(self) for _ in range(pods - len(self._replicas))]
        self._count = pods

    def busy(self) -> bool:
        """Whether calls are in flight, those to pods that are counted no longer, too."""
        return any(replica.calls for replica in self._replicas)


async def resolve(targets: Sequence[str]) -> dict[str, str] | None:
    """Socket addresses of all `host:port`, each with its host name; None where one has none now."""
    hosts: dict[str, str] = {}
    for target in targets:
        try:
            hosts |= await _addresses(target)
        except OSError as error:
            logger.warning("cannot resolve %s: %s", target, error.strerror)
            return None
    return hosts


def pods(addresses: Iterable[str]) -> int:
    """How many pods these are addresses of: one of either family may have both."""
    return max(Counter(address.partition(":")[0] for address in addresses).values())


async def _addresses(target: str) -> dict[str, str]:
    """Socket addresses of `host:port`, each with the host name it came from."""
    host, _, port = target.rpartition(":")
    host = host.strip("[]")
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)
    return {_format(str(info[4][0]), int(info[4][1])): host for info in found}


def _format(ip: str, port: int) -> str:
    return f"ipv6:[{ip}]:{port}" if ":" in ip else f"ipv4:{ip}:{port}"
