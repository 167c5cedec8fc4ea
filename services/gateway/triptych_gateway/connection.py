"""HTTP connections bounded in what a client may leave undone: its head, and taking its answer."""

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from typing import Any, Final

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

# What the largest common proxies pass on; a head may exceed it by one read of the socket.
MAX_HEAD_BYTES: Final = 64 * 1024
# From the first byte of a head, or from the connection, to the end of the head.
HEAD_TIMEOUT: Final = 20.0
# In which a client takes some of an answer that waits for it.
SEND_TIMEOUT: Final = 30.0
# Where a request's scope has the Client that sent it.
CLIENT: Final = "triptych.client"


class Client:
    """Who is at the other end of a connection: still there, or `gone`."""

    def __init__(self, listen: Callable[[], None] = lambda: None) -> None:
        self.gone = False
        self._listen = listen
        self._leaving: list[Callable[[], None]] = []

    @contextlib.contextmanager
    def leaving(self, leave: Callable[[], None]) -> Iterator[None]:
        """Call `leave` if the client goes during the block."""
        self._listen()
        self._leaving.append(leave)
        try:
            yield
        finally:
            self._leaving.remove(leave)

    def go(self) -> None:
        """It has gone."""
        self.gone = True
        for leave in tuple(self._leaving):
            leave()


class BoundedProtocol(HttpToolsProtocol):
    """uvicorn's protocol, which bounds neither. Bodies are bounded where they are read."""

    head_timeout = HEAD_TIMEOUT
    send_timeout = SEND_TIMEOUT
    _client: Client
    _timer: asyncio.TimerHandle | None = None
    _sending: asyncio.TimerHandle | None = None
    _heads = 0
    _waiting_bytes = 0
    _header_bytes = 0

    def connection_made(self, transport: Any) -> None:
        """Expect a head."""
        super().connection_made(transport)
        # a connection whose reading is paused, after a large body, tells of no end
        self._client = Client(self.flow.resume_reading)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Expect nothing."""
        self._head_ended()
        self._taken()
        super().connection_lost(exc)
        self._client.go()

    def pause_writing(self) -> None:
        """More waits for the client than it takes."""
        super().pause_writing()
        self._expect_taking()

    def resume_writing(self) -> None:
        """It has taken nearly all."""
        super().resume_writing()
        self._taken()

    def data_received(self, data: bytes) -> None:
        """Refuse a head that goes on over several reads and over its limit."""
        heads = self._heads
        super().data_received(data)
        if self._timer is not None and heads == self._heads:
            self._waiting_bytes += len(data)
            if self._waiting_bytes > MAX_HEAD_BYTES and not self.transport.is_closing():
                self.send_400_response(f"The request's head is larger than {MAX_HEAD_BYTES} bytes.")

    def on_message_begin(self) -> None:
        """A head begins."""
        super().on_message_begin()
        self.scope[CLIENT] = self._client  # type: ignore[typeddict-unknown-key]
        self._expect_head()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Count one header; the parser turns the error into an answer of 400."""
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEAD_BYTES:
            raise httptools.HttpParserError("the head is too large")
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """A head has ended."""
        self._head_ended()
        super().on_headers_complete()

    def _expect_taking(self) -> None:
        left = self.transport.get_write_buffer_size()
        self._sending = self.loop.call_later(self.send_timeout, self._check_taking, left)

    def _check_taking(self, before: int) -> None:
        # Closing would wait for the client to take the rest: megabytes, for ever.
        if self.transport.get_write_buffer_size() >= before:
            self.transport.abort()
        else:
            self._expect_taking()

    def _taken(self) -> None:
        if self._sending is not None:
            self._sending.cancel()
            self._sending = None

    def _expect_head(self) -> None:
        self._head_ended()
        self._heads += 1
        self._waiting_bytes = self._header_bytes = 0
        self._timer = self.loop.call_later(self.head_timeout, self.transport.close)

    def _head_ended(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
