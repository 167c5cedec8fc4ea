"""What happens around every gRPC call: limit, identity, errors, metrics, logs."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import grpc
import grpc.aio
from google.protobuf.message import DecodeError

from triptych_servicekit import logs
from triptych_servicekit.errors import (
    Internal,
    InvalidArgument,
    Overloaded,
    TriptychError,
    Unavailable,
)
from triptych_servicekit.metrics import Metrics
from triptych_servicekit.status import DETAILS_KEY, GRPC_CODES, to_status

logger = logging.getLogger(__name__)

Behaviour = Callable[[Any, Any], Awaitable[Any]]
Read = Callable[[bytes], Any]

# Health and reflection answer whatever the service's own state is.
OPEN_PREFIX = "/grpc."
# A full server is asked again after this long: about the time of a batch or two.
OVERLOAD_RETRY_AFTER = 0.5


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Guards the service's own methods; `ready` says whether they may run."""

    def __init__(self, metrics: Metrics, max_concurrent: int, ready: Callable[[], bool]) -> None:
        self._metrics = metrics
        self._max_concurrent = max_concurrent
        self._ready = ready
        self._running = 0
        self._idle = asyncio.Event()
        self._idle.set()

    async def idle(self) -> None:
        """Wait until no call of ours is in progress."""
        await self._idle.wait()

    def _count(self, change: int) -> None:
        self._running += change
        self._metrics.in_flight.inc(change)
        (self._idle.clear if self._running else self._idle.set)()

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler of a unary method of ours; leave others alone."""
        handler = await continuation(handler_call_details)
        method = str(handler_call_details.method)
        behaviour = getattr(handler, "unary_unary", None)
        if handler is None or behaviour is None or method.startswith(OPEN_PREFIX):
            return handler
        return grpc.unary_unary_rpc_method_handler(
            self._guard(method.rpartition("/")[2], behaviour, handler.request_deserializer),
            response_serializer=handler.response_serializer,
        )

    def _guard(self, method: str, behaviour: Behaviour, read: Read | None) -> Any:
        async def guarded(request: Any, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            started = time.perf_counter()
            _identify(context)
            code = "INTERNAL"
            try:
                self._admit()
                self._count(1)
                try:
                    response = await behaviour(_read(read, request), context)
                finally:
                    self._count(-1)
                code = "OK"
                return response
            except asyncio.CancelledError:
                code = "CANCELLED"
                raise
            except TriptychError as error:
                code = GRPC_CODES[type(error)].name
                refusal = copy.copy(error)
            except Exception:
                logger.exception("%s failed", method)
                refusal = Internal("internal error")
            finally:
                elapsed = time.perf_counter() - started
                self._metrics.requests.labels(method, code).observe(elapsed)
            # grpc's AbortError and its frames hold each other until the collector's next pass; a
            # copy of the error, raised from nothing, keeps the request out of that.
            del request
            return await _abort(context, refusal, method)

        return guarded

    def _admit(self) -> None:
        if not self._ready():
            raise Unavailable("the service is starting or stopping")
        if self._running >= self._max_concurrent:
            raise Overloaded(
                f"{self._max_concurrent} calls are in progress", retry_after=OVERLOAD_RETRY_AFTER
            )


def _read(read: Read | None, content: bytes) -> Any:
    """The request's message. grpc itself would answer with the parser's words and log a failure."""
    if read is None:
        return content
    try:
        return read(content)
    except DecodeError:
        message = "the request is no message of this method"
        raise InvalidArgument(message, reason="INVALID_MESSAGE") from None


def _identify(context: grpc.aio.ServicerContext[Any, Any]) -> None:
    metadata = {key: value for key, value in context.invocation_metadata() or ()}  # noqa: C416
    logs.request_id.set(str(metadata.get("x-request-id") or uuid.uuid4()))
    logs.traceparent.set(str(metadata.get("traceparent", "")))


async def _abort(
    context: grpc.aio.ServicerContext[Any, Any], error: TriptychError, method: str
) -> NoReturn:
    if context.done():  # the caller's time is over or it has left: nobody reads a status
        raise asyncio.CancelledError
    status = to_status(error)
    logger.debug("%s refused", method, extra={"reason": error.reason, "error": error.message})
    await context.abort(
        GRPC_CODES[type(error)],
        error.message,
        trailing_metadata=((DETAILS_KEY, status.SerializeToString()),),
    )
    raise AssertionError("abort returned")
