"""Calls of one replica over one stream, which cost about half of what calls of their own do.

A stream is renewed often: a connection that has reached its age lets its streams run on for a while
and then cuts them off, and the next stream goes by the connection that has followed it.
"""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import itertools
import math
import time
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
from triptych_servicekit.multiplexing import ENVELOPE_BYTES, OFFERED
from triptych_servicekit.status import from_status

# Age at which a stream takes no more calls, unless the server says less: it cuts streams off a
# while after their connection has reached its age.
STREAM_SECONDS: Final = 5.0
# A larger request goes as a call of its own: on the stream all others would wait behind it, and
# next to what it costs in any case the call is nothing.
MAX_MESSAGE_BYTES: Final = 1024 * 1024
# A stream that is neither accepted nor ended so long after its first metadata is not one of ours.
ACCEPT_SECONDS: Final = 1.0
# Who has refused a stream is asked again after this long: it may have been replaced by a newer one.
REFUSED_SECONDS: Final = 60.0
# What ends a stream that is not to be had here: there is no such method, a proxy lets none through,
# or the two ends differ in the largest message and would lose every call with one that is larger.
REFUSALS: Final = frozenset({
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.PERMISSION_DENIED,
    grpc.StatusCode.UNAUTHENTICATED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
})  # fmt: skip

Method = Callable[..., Any]


class Refused(Exception):
    """The replica takes no stream, or not this one: the call is to be made alone."""


class MultiplexedStub:
    """A stub of `service` on `channel` whose calls share streams.

    `unary` is the service's own stub. It makes the calls of more than `max_message_bytes`, and for
    a while all of them once the replica, or a proxy before it, has refused a stream: an older
    release offers none.
    """

    def __init__(
        self,
        service: ServiceDescriptor,
        unary: Any,
        channel: grpc.aio.Channel,
        max_message_bytes: int = MAX_MESSAGE_BYTES,
        stream_seconds: float = STREAM_SECONDS,
    ) -> None:
        self._channel = channel
        self._max_message_bytes = min(max_message_bytes, MAX_MESSAGE_BYTES) - ENVELOPE_BYTES
        self._stream_seconds = stream_seconds
        self._stream: _Stream | None = None
        self._refused_until = -math.inf
        for method in service.methods:
            setattr(self, method.name, self._method(method, getattr(unary, method.name)))

    def _method(self, method: MethodDescriptor, unary: Method) -> Method:
        name = f"{method.containing_service.full_name}/{method.name}"
        largest = self._max_message_bytes - len(name)
        response_type = GetMessageClass(method.output_type)

        async def call(request: Message, timeout: float) -> Any:
            deadline = time.monotonic() + timeout
            if request.ByteSize() <= largest and self._refused_until < time.monotonic():
                try:
                    content = await self._current().call(name, request, deadline)
                    return response_type.FromString(content)
                except Refused:
                    self._refused_until = time.monotonic() + REFUSED_SECONDS
            return await unary(request, timeout=max(0.0, deadline - time.monotonic()))

        return call

    def _current(self) -> _Stream:
        """The stream of the next call."""
        last = self._stream
        if last is not None and not last.ended:
            if last.age() <= min(self._stream_seconds, last.longest):
                return last
            last.retire()
        # one that has ended says nothing about the next, which then has to be accepted first
        self._stream = _Stream(self._channel, last if last and last.accepted else None)
        return self._stream


class _Stream:
    """One stream. Its reader and writer are tasks of its own, since a call that is cancelled while
    it writes or reads would end the stream of all.

    `longest` is the age in seconds at which the server wants it to be replaced. Where the one
    `before` was accepted that is known, and calls need not wait for this one to be.
    """

    def __init__(self, channel: grpc.aio.Channel, before: _Stream | None) -> None:
        self.accepted = before is not None
        self.ended = False
        self.longest: float = before.longest if before else math.inf
        self._opened = time.monotonic()
        self._numbers = itertools.count(1)
        self._answers: dict[int, asyncio.Future[pb.MultiplexResponse | None]] = {}
        # by call: its request and its deadline, or that it is cancelled
        self._unsent: dict[int, tuple[pb.MultiplexRequest, float]] = {}
        self._waiting = asyncio.Event()
        self._retired = False
        self._refused = False
        # in a context of its own: it outlives the request that opened it
        self._task = asyncio.create_task(self._run(channel), context=contextvars.Context())

    def age(self) -> float:
        """Seconds since it was opened."""
        return time.monotonic() - self._opened

    def retire(self) -> None:
        """Take no more calls, and end with the last of those in progress."""
        self._retired = True
        self._waiting.set()

    async def call(self, method: str, request: Message, deadline: float) -> bytes:
        """The response to a call; the deadline is on the clock of time.monotonic.

        Raises what the call ended with, Unavailable where the stream has broken, Refused where
        there is none to be had. Cancelling cancels the call.
        """
        number = next(self._numbers)
        answer = self._answers[number] = asyncio.get_running_loop().create_future()
        content = request.SerializeToString()
        self._send(pb.MultiplexRequest(call_id=number, method=method, message=content), deadline)
        del content
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
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

    def _send(self, request: pb.MultiplexRequest, deadline: float = 0.0) -> None:
        self._unsent[request.call_id] = request, deadline
        self._waiting.set()

    def _forget(self, number: int) -> None:
        """Be done with a call. One that has no answer yet is cancelled, or was never sent."""
        unanswered = self._answers.pop(number, None) is not None
        if unanswered and self._unsent.pop(number, None) is None and not self.ended:
            self._send(pb.MultiplexRequest(call_id=number))
        if self._retired:
            self._waiting.set()

    async def _run(self, channel: grpc.aio.Channel) -> None:
        opened: Any = rpc.MultiplexServiceStub(channel).Multiplex()
        writer = None
        try:
            # What is written to a stream that is refused hides the reason.
            if self.accepted or await self._is_accepted(opened):
                writer = asyncio.create_task(self._write(opened))
                await self._read(opened)
        except grpc.aio.AioRpcError as failure:
            self.accepted = False
            self._refused = failure.code() in REFUSALS
        finally:
            self._end()
            if writer:
                writer.cancel()

    async def _is_accepted(self, opened: Any) -> bool:
        """Whether the replica has accepted the stream; it says so in its first metadata."""
        metadata = dict(await opened.initial_metadata() or ())
        if OFFERED in metadata:
            self.longest = float(metadata[OFFERED])
            self.accepted = True
            return True
        try:
            async with asyncio.timeout(ACCEPT_SECONDS):
                self._refused = await opened.code() in REFUSALS
        except TimeoutError:
            self._refused = True
            opened.cancel()
        return False

    async def _read(self, opened: Any) -> None:
        while (response := await opened.read()) is not grpc.aio.EOF:
            answer = self._answers.pop(response.call_id, None)
            if answer is not None and not answer.done():
                answer.set_result(response)
            del response, answer  # or the last one is kept for as long as nothing comes

    async def _write(self, opened: Any) -> None:
        with contextlib.suppress(grpc.aio.AioRpcError, asyncio.InvalidStateError):
            while self._unsent or self._answers or not self._retired:
                if self._unsent:
                    request, deadline = self._unsent.pop(next(iter(self._unsent)))
                    if request.method:
                        set_seconds(request.timeout, max(0.0, deadline - time.monotonic()))
                    await opened.write(request)
                    del request
                else:
                    self._waiting.clear()
                    await self._waiting.wait()
            await opened.done_writing()

    def _end(self) -> None:
        self.ended = True
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(None)
        self._answers.clear()
        self._unsent.clear()
