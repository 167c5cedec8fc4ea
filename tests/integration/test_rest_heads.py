"""Request heads that are too large or never end."""

import asyncio
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from triptych_gateway.connection import MAX_HEAD_BYTES, BoundedProtocol
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.routes import build_app
from triptych_gateway.settings import GatewaySettings
from triptych_servicekit.groups import Tls
from triptych_servicekit.http import HttpListener
from triptych_servicekit.metrics import Metrics

pytestmark = pytest.mark.asyncio(loop_scope="module")

BEGUN = b"GET /health HTTP/1.1\r\nhost: x\r\n"


class HastyProtocol(BoundedProtocol):
    """Waits less long."""

    head_timeout = 0.5


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def port() -> AsyncIterator[int]:
    app = build_app(LocalPlatform([local_bundle()]), GatewaySettings(), Metrics("gateway"))
    listener = HttpListener(app, "127.0.0.1", 0, Tls(), 1, HastyProtocol)
    await listener.start()
    yield listener.port
    await listener.stop()


async def ending(port: int, *pieces: bytes) -> bytes:
    """What comes back until the server closes, for pieces sent one after the other."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = asyncio.ensure_future(reader.read())
    try:
        for piece in pieces:
            if answer.done():
                break
            writer.write(piece)
            await asyncio.sleep(0.01)
        return await asyncio.wait_for(answer, 5)
    except ConnectionError:
        return b"closed"
    finally:
        writer.close()


@pytest.mark.parametrize("begun", [b"", BEGUN, BEGUN + b"x-slow: "])
async def test_a_head_that_does_not_end_is_given_up(port: int, begun: bytes) -> None:
    assert await ending(port, begun) in (b"", b"closed")


async def test_a_head_of_endless_headers_is_refused(port: int) -> None:
    piece = b"".join(b"x-%d: %b\r\n" % (number, b"y" * 50) for number in range(400))
    answer = await ending(port, BEGUN, *[piece] * 20)
    assert answer == b"closed" or answer.startswith(b"HTTP/1.1 400")


async def test_an_endless_header_is_refused(port: int) -> None:
    answer = await ending(port, BEGUN + b"x: ", *[b"y" * 30_000] * 20)
    assert answer == b"closed" or answer.startswith(b"HTTP/1.1 400")


async def test_one_large_head_is_refused_and_an_ordinary_one_is_not(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        large = await client.get("/health", headers={"x": "y" * (MAX_HEAD_BYTES + 1)})
        assert large.status_code == 400
        fine = await client.get("/health", headers={"x": "y" * (MAX_HEAD_BYTES // 2)})
        assert fine.status_code == 200


async def test_a_kept_connection_may_idle_longer_than_a_head(port: int) -> None:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
        first = await client.get("/health")
        stream = first.extensions["network_stream"].get_extra_info("client_addr")
        await asyncio.sleep(0.8)
        second = await client.get("/health")
        assert second.extensions["network_stream"].get_extra_info("client_addr") == stream


async def test_a_body_may_take_longer_than_a_head(port: int) -> None:
    body = b'{"model":"local","input":"hi"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n" % len(body)
    writer.write(head + body[:10])
    await asyncio.sleep(0.8)
    writer.write(body[10:])
    assert (await asyncio.wait_for(reader.readline(), 5)).startswith(b"HTTP/1.1 200")
    writer.close()
