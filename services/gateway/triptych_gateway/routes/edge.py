"""What happens around every HTTP request: identity, errors, metrics, logs, a client that leaves."""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from triptych_gateway.connection import CLIENT, Client
from triptych_gateway.routes.exchange import SCOPE_KEY, Answer, Exchange
from triptych_gateway.routes.failures import ClientGone, failure
from triptych_gateway.routes.reading import BodyReader
from triptych_gateway.settings import GatewaySettings
from triptych_servicekit import logs
from triptych_servicekit.errors import PayloadTooLarge
from triptych_servicekit.http import AsgiApp, Message, Receive, Send
from triptych_servicekit.metrics import Metrics

logger = logging.getLogger(__name__)

Endpoint = Callable[[Exchange], Coroutine[Any, Any, Answer]]
T = TypeVar("T")

# In metrics and logs, when no answer went out: nginx's word for a client that left.
CLIENT_CLOSED_REQUEST: Final = 499


class Edge:
    """ASGI application in front of FastAPI.

    Routes without parameters are found and answered here: FastAPI's own way to an endpoint, through
    six layers, costs more than all of ours. It keeps describing them.
    """

    def __init__(
        self,
        rest: AsgiApp,
        routes: Sequence["EdgeRoute"],
        settings: GatewaySettings,
        metrics: Metrics,
    ) -> None:
        self._rest = rest
        self._routes = {
            (method, route.path): route for route in routes for method in route.methods or ()
        }
        self._timeout = settings.requests.timeout
        self._seconds = metrics.seconds(
            "http_request_duration", "Duration of HTTP requests.", ("route", "code")
        )

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request, whatever happens inside."""
        if scope["type"] != "http":
            await self._rest(scope, receive, send)
            return
        exchange = Exchange(scope, receive, send, self._timeout)
        scope[SCOPE_KEY] = exchange
        logs.request_id.set(exchange.request_id)
        logs.traceparent.set(exchange.traceparent)
        try:
            await self._answer(exchange, receive)
        except ClientGone:
            pass
        except Exception as error:
            await _tell(exchange, error, receive)
        finally:
            self._record(exchange)
            # Exchange and scope hold each other: a large body would wait for the collector.
            del scope[SCOPE_KEY]
            exchange.content = b""

    async def _answer(self, exchange: Exchange, receive: Receive) -> None:
        scope = exchange.scope
        route = self._routes.get((scope["method"], scope["path"]))
        if route is None:
            await self._rest(scope, receive, exchange.send)
        else:
            scope["route"] = route
            await route.handle(scope, receive, exchange.send)

    def _record(self, exchange: Exchange) -> None:
        status, elapsed = exchange.status or CLIENT_CLOSED_REQUEST, exchange.elapsed
        self._seconds.labels(exchange.route, str(status)).observe(elapsed)
        if status >= 400:
            level = logging.WARNING if status >= 500 else logging.DEBUG
            fields = {"route": exchange.route, "status": status, "seconds": round(elapsed, 4)}
            logger.log(level, "request failed", extra=fields)


class EdgeRoute(APIRoute):
    """A route that FastAPI describes and we answer."""

    async def handle(self, scope: Message, receive: Receive, send: Send) -> None:  # noqa: ARG002
        """Answer a request whose path is this route's."""
        methods = self.methods or set()
        if scope["method"] not in methods:
            raise HTTPException(405, headers={"allow": ", ".join(sorted(methods))})
        exchange: Exchange = scope[SCOPE_KEY]
        await exchange.respond(await self._answer(exchange, receive))

    async def _answer(self, exchange: Exchange, receive: Receive) -> Answer:  # noqa: ARG002
        answer: Answer = await self.endpoint(exchange)
        return answer


class TaskRoute(EdgeRoute):
    """A route with a body and with work that ends when the client leaves."""

    def __init__(self, path: str, endpoint: Endpoint, reader: BodyReader, **kinds: Any) -> None:
        super().__init__(path, endpoint, methods=["POST"], **kinds)
        self._reader = reader

    async def _answer(self, exchange: Exchange, receive: Receive) -> Answer:
        try:
            exchange.content = await self._reader.read(exchange, receive)
            client = exchange.scope.get(CLIENT) or Client()
            return await while_connected(client, self.endpoint(exchange))
        finally:
            self._reader.release(exchange)


async def while_connected(client: Client, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`; raises ClientGone, the work cancelled, when the client leaves first."""
    if client.gone:
        work.close()
        raise ClientGone
    working = asyncio.current_task()
    assert working is not None  # noqa: S101 (a coroutine runs in a task)
    left = False

    def leave() -> None:
        nonlocal left
        left = True
        working.cancel()

    try:
        with client.leaving(leave):
            return await work
    except asyncio.CancelledError:
        if left and not working.uncancel():
            raise ClientGone from None
        raise


async def _tell(exchange: Exchange, error: Exception, receive: Receive) -> None:
    answer = failure(error)
    if answer.status == 500:
        logger.error("%s failed", exchange.route, exc_info=error)
    if exchange.status:
        # Half an answer cannot be taken back; the server closes the connection.
        raise error
    if isinstance(error, PayloadTooLarge):
        await exchange.refuse_body(answer, receive)
    else:
        await exchange.respond(answer)
