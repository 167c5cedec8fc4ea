"""Behind one address, as a mesh has it, windows are for as many replicas as there are pods."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any

import grpc.aio
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1.health import aio as health

from triptych_gateway.addresses import Address, pods
from triptych_gateway.entries import Entry, Window
from triptych_gateway.gather import Gatherer
from triptych_gateway.replicas import ReplicaSet
from triptych_gateway.retries import RetryBudget
from triptych_gateway.tasks import Origin
from triptych_gateway.telemetry import GatewayMetrics

SERVICE = "triptych.v1.EncoderService"
# Addresses that stand for pods: they are counted, and nobody calls them.
PODS = ("127.0.0.2:50051", "127.0.0.3:50051", "127.0.0.4:50051")
PATIENCE = 10.0


@pytest.fixture
async def address() -> AsyncIterator[str]:
    """Of a server that says that it serves."""
    server, servicer = grpc.aio.server(), health.HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    await servicer.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)
    yield f"127.0.0.1:{port}"
    await server.stop(None)


async def started(address: str, counted: Sequence[str]) -> ReplicaSet:
    """The replicas behind an address, once it serves."""
    found = ReplicaSet(
        SERVICE,
        [address],
        lambda name, host: grpc.aio.insecure_channel(name),
        lambda channel: channel,
        interval=0.1,
        counted=counted,
    )
    serves = asyncio.Event()
    found.on_change(serves.set)
    await found.start()
    await asyncio.wait_for(serves.wait(), PATIENCE)
    return found


@pytest.mark.parametrize(("counted", "expected"), [((), 1), (PODS[:1], 1), (PODS, 3)])
async def test_an_address_is_as_many_replicas_as_are_counted(
    address: str, counted: Sequence[str], expected: int
) -> None:
    replicas = await started(address, counted)
    assert len(replicas.serving()) == expected
    assert len({id(replica.stub) for replica in replicas.serving()}) == 1
    await replicas.stop()


async def test_names_that_nobody_has_leave_the_count_alone(address: str) -> None:
    replicas = await started(address, ["nobody.invalid:50051"])
    assert len(replicas.serving()) == 1
    await replicas.stop()


@pytest.mark.parametrize(("counted", "expected"), [((), 1), (PODS, 3)])
async def test_each_of_them_has_a_window(
    address: str, counted: Sequence[str], expected: int
) -> None:
    replicas, release, calls = await started(address, counted), asyncio.Event(), 0

    async def call(replica: Any, entries: Sequence[Entry[Any, Any]]) -> Sequence[Any]:
        nonlocal calls
        calls += 1
        await release.wait()
        return entries

    metrics = GatewayMetrics().stage("encoder")
    gatherer = Gatherer(replicas, Window(1, 100, 10), RetryBudget(0.1, 100), metrics)
    callers = [(Origin(time.monotonic() + 60, "test"), 1)]
    sent = [asyncio.ensure_future(gatherer.submit("work", call, 10, callers)) for _ in range(9)]
    await asyncio.sleep(0.1)
    assert calls == expected
    release.set()
    await asyncio.gather(*sent)
    await gatherer.stop()
    await replicas.stop()


async def test_a_suspect_takes_out_its_address(address: str) -> None:
    replicas = await started(address, PODS)
    replicas.suspect(replicas.serving()[1])
    assert not replicas.serving()
    await replicas.stop()


async def test_pods_that_go_keep_the_calls_that_they_have() -> None:
    channel = grpc.aio.insecure_channel("127.0.0.1:1")
    address = Address("one", channel, None)
    address.count(3)
    going = address.replicas[2]
    going.calls = 1
    address.count(1)
    assert (len(address.replicas), address.busy()) == (1, True)
    going.calls = 0
    assert not address.busy()
    await channel.close()


def test_a_pod_with_addresses_of_both_families_is_one() -> None:
    assert pods(["ipv4:10.0.0.1:5", "ipv4:10.0.0.2:5", "ipv6:[fd00::1]:5"]) == 2
