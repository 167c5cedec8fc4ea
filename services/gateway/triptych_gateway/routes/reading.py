"""Reading request bodies: each within its limit, those of all requests within theirs."""

import asyncio

from triptych_gateway.routes.exchange import Exchange
from triptych_gateway.routes.failures import ClientGone
from triptych_gateway.settings import Http
from triptych_servicekit.errors import DeadlineExceeded, Overloaded, PayloadTooLarge
from triptych_servicekit.http import Message, Receive


class BodyReader:
    """Reads bodies. Those that come in several parts share `max_buffered_bytes`.

    They hold their share until it is released: what is made of a body is about as large as itself.
    """

    def __init__(self, http: Http) -> None:
        self._limit = http.max_body_bytes
        self._room = http.max_buffered_bytes

    async def read(self, exchange: Exchange, receive: Receive) -> bytes:
        """The whole body.

        Raises PayloadTooLarge before more than the limit is kept, and Overloaded where others take
        all the room.
        """
        declared = exchange.fields.get(b"content-length", b"0")
        if not declared.isdigit() or int(declared) > self._limit:
            raise self._too_large()
        message = await receive()
        if not message.get("more_body"):
            return self._chunk(message, self._limit)
        try:
            async with asyncio.timeout(exchange.time_left()):
                return await self._read_parts(exchange, message, receive)
        except TimeoutError:
            raise DeadlineExceeded("the request's time ended before its body was read") from None

    def release(self, exchange: Exchange) -> None:
        """Give back what a request's body has taken of the room."""
        self._room += exchange.room
        exchange.room = 0

    async def _read_parts(self, exchange: Exchange, message: Message, receive: Receive) -> bytes:
        body = bytearray()
        while True:
            chunk = self._chunk(message, self._limit - len(body))
            if len(chunk) > self._room:
                raise Overloaded("too many large requests are in progress", retry_after=1.0)
            self._room -= len(chunk)
            exchange.room += len(chunk)
            body += chunk
            if not message.get("more_body", False):
                return bytes(body)
            message = await receive()

    def _chunk(self, message: Message, left: int) -> bytes:
        if message["type"] == "http.disconnect":
            raise ClientGone
        chunk: bytes = message.get("body", b"")
        if len(chunk) > left:
            raise self._too_large()
        return chunk

    def _too_large(self) -> PayloadTooLarge:
        return PayloadTooLarge(f"the body is larger than {self._limit} bytes", field="body")
