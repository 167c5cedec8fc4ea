"""Calls that come one by one, each as an RPC of its own, and what guards them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final, NoReturn

import grpc
import grpc.aio

from triptych_servicekit.errors import TriptychError
from triptych_servicekit.guard import CallGuard, Method, identify
from triptych_servicekit.status import DETAILS_KEY, GRPC_CODES, to_status

# Health and reflection answer whatever the service's own state is.
OPEN_PREFIX: Final = "/grpc."


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Puts `guard` around the unary methods of a server."""

    def __init__(self, guard: CallGuard) -> None:
        self._guard = guard

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Any, Any] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Any, Any] | None:
        """Wrap the handler of a unary method of ours; leave others alone."""
        handler = await continuation(handler_call_details)
        name = str(handler_call_details.method)
        behaviour = getattr(handler, "unary_unary", None)
        if handler is None or behaviour is None or name.startswith(OPEN_PREFIX):
            return handler
        method = Method(name.rpartition("/")[2], behaviour, handler.request_deserializer)
        return grpc.unary_unary_rpc_method_handler(
            self._guarded(method), response_serializer=handler.response_serializer
        )

    def _guarded(self, method: Method) -> Any:
        async def guarded(content: bytes, context: grpc.aio.ServicerContext[Any, Any]) -> Any:
            metadata: Any = dict(context.invocation_metadata() or ())
            identify(str(metadata.get("x-request-id", "")), str(metadata.get("traceparent", "")))
            outcome = await self._guard.call(method, content, context)
            if isinstance(outcome, TriptychError):
                # grpc's AbortError and its frames hold each other until the collector's next pass
                del content
                await _abort(context, outcome)
            return outcome

        return guarded


async def _abort(context: grpc.aio.ServicerContext[Any, Any], error: TriptychError) -> NoReturn:
    if context.done():  # the caller's time is over or it has left: nobody reads a status
        raise asyncio.CancelledError
    status = to_status(error)
    await context.abort(
        GRPC_CODES[type(error)],
        error.message,
        trailing_metadata=((DETAILS_KEY, status.SerializeToString()),),
    )
    raise AssertionError("abort returned")
