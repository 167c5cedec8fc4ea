"""Large answers to clients that take them slowly, or not at all."""

import asyncio
import json
from collections.abc import AsyncIterator
from typing import ClassVar

import pytest
import pytest_asyncio

from triptych_gateway.connection import BoundedProtocol
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.routes import build_app
from triptych_gateway.settings import GatewaySettings
from triptych_servicekit.groups import Tls
from triptych_servicekit.http import HttpListener
from triptych_servicekit.metrics import Metrics

pytestmark = pytest.mark.asyncio(loop_scope="module")

# Its answer is larger than what the system buffers for a connection.
BODY = json.dumps({"model": "local", "input": ["a"] * 2048}).encode()
DIMENSIONS = 1024


class HastyProtocol(BoundedProtocol):
    """Waits less long, and tells when a connection has ended."""

    send_timeout = 0.5
    ended: ClassVar[asyncio.Event]

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self.ended.set()


@pytest_asyncio.fixture(loop_scope="module")
async def port() -> AsyncIterator[int]:
    HastyProtocol.ended = asyncio.Event()
    platform = LocalPlatform([local_bundle(dimensions=DIMENSIONS)])
    app = build_app(platform, GatewaySettings(), Metrics("gateway"))
    listener = HttpListener(app, "127.0.0.1", 0, Tls(), 1, HastyProtocol)
    await listener.start()
    yield listener.port
    await listener.stop()


async def ask(port: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=65_536)
    head = b"POST /v1/embeddings HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n\r\n"
    writer.write(head % len(BODY) + BODY)
    return reader, writer


async def test_an_answer_that_nobody_takes_is_dropped(port: int) -> None:
    _, writer = await ask(port)
    await asyncio.wait_for(HastyProtocol.ended.wait(), 60)
    writer.transport.abort()


async def test_an_answer_that_is_taken_slowly_arrives(port: int) -> None:
    reader, writer = await ask(port)
    head = await reader.readuntil(b"\r\n\r\n")
    left = int(head.lower().partition(b"content-length: ")[2].split()[0])
    while left > 0:
        piece = await reader.read(left)
        assert piece, "closed too early"
        left -= len(piece)
        await asyncio.sleep(0.01)
    assert not HastyProtocol.ended.is_set()
    writer.close()
