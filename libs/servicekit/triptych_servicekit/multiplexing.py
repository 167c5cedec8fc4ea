"""Calls that come over one stream: MultiplexService over the methods that a server has."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio

from triptych.v1 import multiplex_service_pb2 as pb
from triptych.v1 import multiplex_service_pb2_grpc as rpc
from triptych_servicekit.errors import (
    DeadlineExceeded,
    Internal,
    Overloaded,
    TriptychError,
    Unimplemented,
)
from triptych_servicekit.guard import CallGuard, Method, identify
from triptych_servicekit.status import to_status

logger = logging.getLogger(__name__)

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["MultiplexService"].full_name
# Metadata with which a server accepts a stream: what is refused comes without it. Its value is the
# age in seconds at which the stream should be replaced.
OFFERED: Final = "triptych-multiplex"
# Answers that wait for a client that does not read them; until it does, none of its calls begins.
MAX_WAITING_ANSWERS: Final = 256
# What an envelope has besides a message and a method's name, at most: tags, lengths, id, timeout.
ENVELOPE_BYTES: Final = 64
# A server cuts a connection's streams off when it has been over its age for the grace. Of that a
# stream may spend this share being young enough for calls; the rest is for their answers.
STREAM_SHARE: Final = 0.25

Context = grpc.aio.ServicerContext[Any, Any]


@dataclass(frozen=True, slots=True)
class StreamMethod:
    """A unary method and how its response is written."""

    method: Method
    write: Any


@dataclass(slots=True)
class Registration:
    """Stands for a server while servicers are added to it, and keeps what was added."""

    server: grpc.aio.Server
    methods: dict[str, StreamMethod] = field(default_factory=dict)

    def add_generic_rpc_handlers(self, handlers: Any) -> None:
        """See grpc.aio.Server."""
        self.server.add_generic_rpc_handlers(handlers)

    def add_registered_method_handlers(self, service: str, handlers: Mapping[str, Any]) -> None:
        """See grpc.aio.Server."""
        self.server.add_registered_method_handlers(service, handlers)
        for name, handler in handlers.items():
            if handler.unary_unary is not None:
                method = Method(name, handler.unary_unary, handler.request_deserializer)
                stream_method = StreamMethod(method, handler.response_serializer)
                self.methods[f"{service}/{name}"] = stream_method


@dataclass(frozen=True, slots=True)
class MultiplexedCall:
    """What a servicer asks of its call's context."""

    deadline: float | None
    """On the clock of time.monotonic; None where the client set none."""

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None where the client set none."""
        return None if self.deadline is None else max(0.0, self.deadline - time.monotonic())


class MultiplexServicer(rpc.MultiplexServiceServicer):
    """Serves MultiplexService: `methods` by their full names, each call within `guard`.

    A response of more than `max_message_bytes` ends its call, not the stream. `grace` is how many
    seconds a stream lives on when its connection has reached its age.
    """

    def __init__(
        self,
        methods: Mapping[str, StreamMethod],
        guard: CallGuard,
        max_message_bytes: int,
        grace: float,
    ) -> None:
        self._methods = methods
        self._guard = guard
        self._max_content_bytes = max_message_bytes - ENVELOPE_BYTES
        self._accepted = ((OFFERED, f"{grace * STREAM_SHARE:.3f}"),)

    async def Multiplex(  # type: ignore[override]  # noqa: N802 (of the ways to serve a stream)
        self,
        requests: Any,  # noqa: ARG002
        context: Context,
    ) -> None:
        """One client's stream."""
        await context.send_initial_metadata(self._accepted)
        await _Stream(self.answer, context).serve()

    async def answer(
        self, request: pb.MultiplexRequest, call: MultiplexedCall
    ) -> pb.MultiplexResponse:
        """What one call comes to."""
        identify()
        response = pb.MultiplexResponse(call_id=request.call_id)
        try:
            async with asyncio.timeout(call.time_remaining()):
                outcome = await self._run(request, call)
        except TimeoutError:
            outcome = DeadlineExceeded("the call's time is over")
        except Exception:
            logger.exception("%s failed", request.method)
            outcome = Internal("internal error")
        if isinstance(outcome, TriptychError):
            response.status.CopyFrom(to_status(outcome))
        else:
            response.message = outcome
        return response

    async def _run(
        self, request: pb.MultiplexRequest, call: MultiplexedCall
    ) -> bytes | TriptychError:
        found = self._methods.get(request.method)
        if found is None:
            return Unimplemented("method is none that is offered on a stream", field="method")
        outcome = await self._guard.call(found.method, request.message, call)
        if isinstance(outcome, TriptychError):
            return outcome
        content: bytes = found.write(outcome)
        if len(content) > self._max_content_bytes:
            size, limit = len(content), self._max_content_bytes
            return Overloaded(f"the response has {size} bytes, the limit is {limit}")
        return content


Answer = Callable[[pb.MultiplexRequest, MultiplexedCall], Awaitable[pb.MultiplexResponse]]


class _Stream:
    """The calls of one stream. Whoever has an answer writes, for the others too while it does."""

    def __init__(self, answer: Answer, context: Context) -> None:
        self._answer = answer
        self._context = context
        self._running: dict[int, asyncio.Task[None]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._answers: deque[pb.MultiplexResponse] = deque()
        self._writing = False
        self._room = asyncio.Event()

    async def serve(self) -> None:
        """Take calls until the client ends its half, then finish those in progress."""
        try:
            while (request := await self._context.read()) is not grpc.aio.EOF:
                await self._take(request)
                while len(self._answers) >= MAX_WAITING_ANSWERS:
                    self._room.clear()
                    await self._room.wait()
                del request  # or the last one is kept for as long as nothing comes
            await asyncio.gather(*self._tasks, return_exceptions=True)
        finally:
            for task in self._tasks:
                task.cancel()

    async def _take(self, request: pb.MultiplexRequest) -> None:
        running = self._running.get(request.call_id)
        if request.method and running:
            # answered by its id, this error would be taken for the other call's
            message = "call_id is that of a call in progress"
            await self._context.abort(grpc.StatusCode.INVALID_ARGUMENT, message)
        elif request.method:
            self._start(request)
        elif running:
            running.cancel()

    def _start(self, request: pb.MultiplexRequest) -> None:
        number, deadline = request.call_id, None
        if request.HasField("timeout"):
            seconds = request.timeout.seconds + request.timeout.nanos * 1e-9
            deadline = time.monotonic() + seconds
        task = asyncio.create_task(self._run(request, MultiplexedCall(deadline)))
        self._running[number] = task
        self._tasks.add(task)
        task.add_done_callback(lambda ended: self._ended(number, ended))

    def _ended(self, number: int, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._running.get(number) is task:  # cancelled, perhaps before it began
            del self._running[number]

    async def _run(self, request: pb.MultiplexRequest, call: MultiplexedCall) -> None:
        response = await self._answer(request, call)
        # From here on nothing cancels it: it may be writing the answers of others.
        del self._running[request.call_id], request
        self._answers.append(response)
        del response
        if not self._writing:
            await self._write()

    async def _write(self) -> None:
        self._writing = True
        try:
            while self._answers:
                await self._context.write(self._answers.popleft())
                self._room.set()
        except grpc.aio.BaseError:
            self._answers.clear()  # the client has left, which ends `serve`
        finally:
            self._writing = False
            self._room.set()
