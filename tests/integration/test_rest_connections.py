"""Bodies that are too large or do not come, connections that stay or end."""

import asyncio
import json
import re
from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio

from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.settings import GatewaySettings, Http
from triptych_servicekit.server import Server

pytestmark = pytest.mark.asyncio(loop_scope="module")

LIMIT = 2048
BODY = {"model": "local", "input": "Hello"}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[Server]:
    async with serving(
        LocalPlatform([local_bundle()]), GatewaySettings(http=Http(max_body_bytes=LIMIT))
    ) as server:
        yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(server: Server) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.http_port}") as client:
        yield client


async def test_a_declared_length_over_the_limit(client: httpx.AsyncClient) -> None:
    response = await client.post("/v1/embeddings", content=b"x" * (LIMIT + 1))
    assert response.status_code == 413
    assert response.json()["error"]["code"] == "payload_too_large"


async def send_chunks(client: httpx.AsyncClient, count: int) -> tuple[int, int]:
    """Status (0 where the connection was closed first) and kilobytes that were sent."""
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for sent in range(1, count + 1):  # noqa: B007 - read after the request
            yield b"x" * 1024

    try:
        response = await client.post("/v1/embeddings", content=chunks())
    except httpx.TransportError:
        return 0, sent
    return response.status_code, sent


async def test_a_chunked_body_over_the_limit(client: httpx.AsyncClient) -> None:
    assert await send_chunks(client, 1000) == (413, 1000)


async def test_a_body_without_end_is_not_read_for_ever(client: httpx.AsyncClient) -> None:
    status, sent = await send_chunks(client, 200_000)
    assert status in (0, 413)
    assert sent < 100_000


async def test_a_chunked_body_within_the_limit(client: httpx.AsyncClient) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for byte in json.dumps(BODY).encode():
            yield bytes([byte])
            await asyncio.sleep(0)

    response = await client.post("/v1/embeddings", content=pieces())
    assert response.status_code == 200


async def test_a_body_that_does_not_come_ends_with_the_deadline(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    writer.write(
        b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 40\r\n"
        b"x-request-timeout: 0.1\r\n\r\n{"
    )
    status = await asyncio.wait_for(reader.readline(), 5)
    assert b"504" in status
    writer.close()
    await writer.wait_closed()


async def test_a_connection_outlives_errors(server: Server) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
    for body, status in ((b"{", b"400"), (json.dumps(BODY).encode(), b"200"), (b"[]", b"400")):
        writer.write(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        head = await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 5)
        assert status in head.splitlines()[0]
        length = re.search(rb"content-length: (\d+)", head)
        assert length
        await reader.readexactly(int(length[1]))
    writer.close()
    await writer.wait_closed()


async def test_a_client_that_leaves_cancels_its_work() -> None:
    platform = LocalPlatform([local_bundle()], seconds_per_token=10)
    async with serving(platform) as server:
        reader, writer = await asyncio.open_connection("127.0.0.1", server.http_port)
        body = json.dumps(BODY).encode()
        writer.write(
            b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n%s"
            % (len(body), body)
        )
        async with asyncio.timeout(5):
            while not platform.in_progress:  # noqa: ASYNC110 - the server runs beside us
                await asyncio.sleep(0.01)
            writer.close()
            while not platform.cancelled:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        assert platform.in_progress == 0
        async with httpx.AsyncClient() as client:
            metrics = await client.get(f"http://127.0.0.1:{server.operations_port}/metrics")
        assert 'code="499",route="/v1/embeddings"' in metrics.text
        del reader


async def test_a_large_body_holds_its_room_until_its_answer() -> None:
    http = Http(max_buffered_bytes=300_000)
    platform = LocalPlatform([local_bundle()], seconds_per_token=0.05)
    body = json.dumps({**BODY, "user": "x" * 200_000})
    async with serving(platform, GatewaySettings(http=http)) as own:
        url = f"http://127.0.0.1:{own.http_port}"
        async with httpx.AsyncClient(base_url=url) as client:
            posts = [client.post("/v1/embeddings", content=body) for _ in range(2)]
            assert sorted([one.status_code for one in await asyncio.gather(*posts)]) == [200, 429]
            assert (await client.post("/v1/embeddings", content=body)).status_code == 200


async def test_large_bodies_share_their_room() -> None:
    """Bodies that do not end hold their bytes; one more than fits is refused, and room returns."""
    http = Http(max_buffered_bytes=300_000)
    async with serving(LocalPlatform([local_bundle()]), GatewaySettings(http=http)) as own:
        head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: 9000000\r\n\r\n"
        port = own.http_port
        held = [await asyncio.open_connection("127.0.0.1", port) for _ in range(3)]
        for _, writer in held:
            writer.write(head + b" " * 200_000)
            await writer.drain()
        answers = [asyncio.ensure_future(reader.readline()) for reader, _ in held]
        done, _ = await asyncio.wait(answers, timeout=10, return_when=asyncio.FIRST_COMPLETED)
        assert {task.result().split()[1] for task in done} == {b"429"}
        for task in answers:
            task.cancel()
        for _, writer in held:
            writer.close()
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
            body = json.dumps({**BODY, "user": "x" * 250_000})
            async with asyncio.timeout(10):
                while (await client.post("/v1/embeddings", content=body)).status_code != 200:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
