"""What a failed request held is free as soon as it is answered, on both edges."""

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator

import grpc.aio
import httpx
import pytest
import pytest_asyncio

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.tasks import TokenIds
from triptych_servicekit.server import Server

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.usefixtures("no_collector")]

MODEL = "local"
PATIENCE = 10.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serving(LocalPlatform([local_bundle()])) as server:
        yield server


async def left(kind: type[object]) -> int:
    """How many of a kind are there once the server has had time to forget them."""
    deadline = time.monotonic() + PATIENCE
    while (count := _count(kind)) and time.monotonic() < deadline:  # noqa: ASYNC110 (nothing tells)
        await asyncio.sleep(0.01)
    return count


def _count(kind: type[object]) -> int:
    return sum(isinstance(held, kind) for held in gc.get_objects())


@pytest.mark.parametrize(
    "input_", [[[1], []], [[1], [-1]], [[1]] * 3000, [[1], [1, "a"]], [[1], [10**12]]]
)
async def test_of_a_body(server: Server, input_: object) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}") as client:
        answer = await client.post("/v1/embeddings", json={"model": MODEL, "input": input_})
    assert answer.status_code == 400
    assert await left(TokenIds) == 0


async def test_of_a_call(server: Server) -> None:
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        request = pb.EmbedRequest(model=types.ModelRef(name="none"))
        request.inputs.add(text="a")
        with contextlib.suppress(grpc.aio.AioRpcError):
            await rpc.GatewayServiceStub(channel).Embed(request)
        del request
    assert await left(pb.EmbedRequest) == 0
