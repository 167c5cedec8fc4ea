"""Calls that come over one stream: MultiplexService over the methods that a server has."""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import grpc
import grpc.aio

from triptych.v1 import multiplex_service_pb2 as pb
from triptych.v1 import multiplex_service_pb2_grpc as rpc
from triptych_servicekit.errors import Overloaded, TriptychError, Unimplemented
from triptych_servicekit.guard import CallGuard, Method, identify
from triptych_servicekit.status import to_status

SERVICE_NAME: Final = pb.DESCRIPTOR.services_by_name["MultiplexService"].full_name
# Metadata with which a server accepts a stream: what is refused comes without it.
OFFERED: Final = "triptych-multiplex"
# Answers that wait for a client that does not read them; until it does, none of its calls begins.
MAX_WAITING_ANSWERS: Final = 256
# What a MultiplexResponse has besides its message, at most: three tags, two lengths, an id.
ENVELOPE_BYTES: Final = 32

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

    A response of more than `max_message_bytes` ends its call, not the stream.
    """

    def __init__(
        self, methods: Mapping[str, StreamMethod], guard: CallGuard, max_message_bytes: int
    ) -> None:
        self._methods = methods
        self._guard = guard
        self._max_content_bytes = max_message_bytes - ENVELOPE_BYTES

    async def Multiplex(  # type: ignore[override]  # noqa: N802 (of the ways to serve a stream)
        self,
        requests: Any,  # noqa: ARG002
        context: Context,
    ) -> None:
        """One client's stream."""
        await _Stream(self.answer, context).serve()

    async def answer(
        self, request: pb.MultiplexRequest, call: MultiplexedCall
    ) -> pb.MultiplexResponse:
        """What one call comes to."""
        identify()
        response = pb.MultiplexResponse(call_id=request.call_id)
        outcome = await self._run(request, call)
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
        await self._context.send_initial_metadata(((OFFERED, "1"),))
        try:
            while (request := await self._context.read()) is not grpc.aio.EOF:
                await self._take(request)
                while len(self._answers) >= MAX_WAITING_ANSWERS:
                    self._room.clear()
                    await self._room.wait()
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
        call = MultiplexedCall(None)
        timer = None
        if request.HasField("timeout"):
            seconds = request.timeout.seconds + request.timeout.nanos * 1e-9
            call = MultiplexedCall(time.monotonic() + seconds)
            timer = asyncio.get_running_loop().call_later(seconds, self._cancel, request.call_id)
        task = asyncio.create_task(self._run(request, call, timer))
        self._running[request.call_id] = task
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _cancel(self, number: int) -> None:
        if running := self._running.get(number):
            running.cancel()

    async def _run(
        self, request: pb.MultiplexRequest, call: MultiplexedCall, timer: asyncio.TimerHandle | None
    ) -> None:
        try:
            response = await self._answer(request, call)
        finally:
            # From here on nothing cancels it: it may be writing the answers of others.
            del self._running[request.call_id]
            if timer:
                timer.cancel()
        self._answers.append(response)
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
