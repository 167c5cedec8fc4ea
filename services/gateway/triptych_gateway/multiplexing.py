"""Calls of one replica over one stream, which cost about half of what calls of their own do.

A stream is renewed often: a connection that has reached its age lets its streams run on for a while
and then cuts them off, and the next stream goes by the connection that has followed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final

import grpc
import grpc.aio
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from triptych.v1 import multiplex_service_pb2 as pb
from triptych.v1 import multiplex_service_pb2_grpc as rpc
from triptych_servicekit.durations import set_seconds
from triptych_servicekit.errors import DeadlineExceeded, Unavailable
from triptych_servicekit.multiplexing import OFFERED
from triptych_servicekit.status import from_status

# Age at which a stream takes no more calls. Its last ones then still have most of the 20 s that a
# server's `grace` leaves them on a connection that ends.
STREAM_SECONDS: Final = 5.0
# A larger request goes as a call of its own: on the stream all others would wait behind it, and
# next to what it costs in any case the call is nothing.
MAX_MESSAGE_BYTES: Final = 1024 * 1024

Method = Callable[..., Any]


class MultiplexedStub:
    """A stub of `service` on `channel` whose calls share streams.

    `unary` is the service's own stub. It makes the calls that are too large for a stream, and all
    once the replica, or a proxy before it, has refused one: an older release offers none.
    """

    def __init__(
        self,
        service: ServiceDescriptor,
        unary: Any,
        channel: grpc.aio.Channel,
        stream_seconds: float = STREAM_SECONDS,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
    ) -> None:
        self._channel = channel
        self._stream_seconds = stream_seconds
        self._max_message_bytes = max_message_bytes
        self._stream: _Stream | None = None
        self._refused = False
        for method in service.methods:
            setattr(self, method.name, self._method(method, getattr(unary, method.name)))

    def _method(self, method: MethodDescriptor, unary: Method) -> Method:
        name = f"{method.containing_service.full_name}/{method.name}"
        response_type = GetMessageClass(method.output_type)

        async def call(request: Message, timeout: float) -> Any:
            content = request.SerializeToString()
            if not self._refused and len(content) <= self._max_message_bytes:
                try:
                    found = await self._current().call(name, content, timeout)
                    return response_type.FromString(found)
                except Refused:
                    self._refused = True
            return await unary(request, timeout=timeout)

        return call

    def _current(self) -> _Stream:
        stream = self._stream
        if stream is None or stream.ended or stream.age() > self._stream_seconds:
            if stream is not None:
                stream.retire()
            stream = self._stream = _Stream(self._channel)
        return stream


class Refused(Exception):
    """There is no such stream to be had: nothing has been called."""


class _Stream:
    """One stream. Its reader and writer are tasks of its own, since a call that is cancelled while
    it writes or reads would end the stream of all."""

    def __init__(self, channel: grpc.aio.Channel) -> None:
        self._opened = time.monotonic()
        self._rpc: Any = rpc.MultiplexServiceStub(channel).Multiplex()
        self._numbers = itertools.count(1)
        self._calls: dict[int, asyncio.Future[pb.MultiplexResponse | None]] = {}
        self._requests: deque[pb.MultiplexRequest] = deque()
        self._waiting = asyncio.Event()
        self._retired = False
        self._refused = False
        self.ended = False
        # in a context of its own: it outlives the request that opened it
        self._task = asyncio.create_task(self._run(), context=contextvars.Context())

    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened

    def retire(self) -> None:
        """Take no more calls, and end with the last of those in progress."""
        self._retired = True
        self._waiting.set()

    async def call(self, method: str, content: bytes, seconds: float) -> bytes:
        """The response to a call.

        Raises what the call ended with, Unavailable where the stream has broken, Refused where
        there was none. Cancelling cancels the call.
        """
        number = next(self._numbers)
        request = pb.MultiplexRequest(call_id=number, method=method, message=content)
        set_seconds(request.timeout, seconds)
        answer = asyncio.get_running_loop().create_future()
        self._calls[number] = answer
        self._send(request)
        try:
            async with asyncio.timeout(seconds):
                response = await answer
        except TimeoutError:
            raise DeadlineExceeded("the stage did not answer in time") from None
        finally:
            self._forget(number)
        if response is None:
            raise Refused if self._refused else Unavailable("the stage went away")
        if response.HasField("status"):
            raise from_status(response.status)
        return bytes(response.message)

    def _send(self, request: pb.MultiplexRequest) -> None:
        self._requests.append(request)
        self._waiting.set()

    def _forget(self, number: int) -> None:
        """Be done with a call; one that has no answer yet is cancelled."""
        if self._calls.pop(number, None) is not None and not self.ended:
            self._send(pb.MultiplexRequest(call_id=number))
        if self._retired:
            self._waiting.set()

    async def _run(self) -> None:
        writer = None
        try:
            # What is written to a stream that was refused hides the reason: first it has to stand.
            if not await self._stands():
                return
            writer = asyncio.create_task(self._write())
            while (response := await self._rpc.read()) is not grpc.aio.EOF:
                answer = self._calls.pop(response.call_id, None)
                if answer is not None and not answer.done():
                    answer.set_result(response)
        except grpc.aio.AioRpcError:
            pass
        finally:
            self._end()
            if writer:
                writer.cancel()

    async def _stands(self) -> bool:
        """Whether the replica has accepted the stream; it says so in its first metadata."""
        metadata = await self._rpc.initial_metadata()
        if OFFERED in dict(metadata or ()):
            return True
        self._refused = await self._rpc.code() != grpc.StatusCode.UNAVAILABLE
        return False

    async def _write(self) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while self._requests or self._calls or not self._retired:
                if self._requests:
                    await self._rpc.write(self._requests.popleft())
                else:
                    self._waiting.clear()
                    await self._waiting.wait()
            await self._rpc.done_writing()

    def _end(self) -> None:
        self.ended = True
        for answer in self._calls.values():
            if not answer.done():
                answer.set_result(None)
        self._calls.clear()
