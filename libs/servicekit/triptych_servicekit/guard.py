"""What happens around every call, however it came in: limit, identity, errors, metrics, logs."""

from __future__ import annotations

import asyncio
import copy
import logging
import time
import uuid
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Final

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
from triptych_servicekit.status import GRPC_CODES

logger = logging.getLogger(__name__)

Behaviour = Callable[[Any, Any], Awaitable[Any]]
Read = Callable[[bytes], Any]

# A full server is asked again after this long: about the time of a batch or two.
OVERLOAD_RETRY_AFTER: Final = 0.5


@dataclass(frozen=True, slots=True)
class Method:
    """A unary method: its name in metrics and logs, its servicer's part, its request's parser."""

    name: str
    behaviour: Behaviour
    read: Read | None

    def parse(self, content: bytes) -> Any:
        """The request. grpc itself would answer with the parser's words and log a failure."""
        if self.read is None:
            return content
        try:
            return self.read(content)
        except DecodeError:
            message = "the request is no message of this method"
            raise InvalidArgument(message, reason="INVALID_MESSAGE") from None


class CallGuard:
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

    async def call(self, method: Method, content: bytes, context: Any) -> Any:
        """The method's response, or the TriptychError that the call ends with.

        Returned, not raised: raised, it would hold the frames that hold the request until the
        collector's next pass.
        """
        started = time.perf_counter()
        code = "INTERNAL"
        try:
            self._admit()
            self._count(1)
            try:
                response = await method.behaviour(method.parse(content), context)
            finally:
                self._count(-1)
            code = "OK"
            return response
        except asyncio.CancelledError:
            code = "CANCELLED"
            raise
        except TriptychError as error:
            code = GRPC_CODES[type(error)].name
            reason = {"reason": error.reason, "error": error.message}
            logger.debug("%s refused", method.name, extra=reason)
            return copy.copy(error)  # without the frames
        except Exception:
            logger.exception("%s failed", method.name)
            return Internal("internal error")
        finally:
            elapsed = time.perf_counter() - started
            self._metrics.requests.labels(method.name, code).observe(elapsed)

    def _count(self, change: int) -> None:
        self._running += change
        self._metrics.in_flight.inc(change)
        (self._idle.clear if self._running else self._idle.set)()

    def _admit(self) -> None:
        if not self._ready():
            raise Unavailable("the service is starting or stopping")
        if self._running >= self._max_concurrent:
            raise Overloaded(
                f"{self._max_concurrent} calls are in progress", retry_after=OVERLOAD_RETRY_AFTER
            )


def identify(request_id: str = "", traceparent: str = "") -> None:
    """Name the call in what it logs; one that brings no name is given one."""
    logs.request_id.set(request_id or str(uuid.uuid4()))
    logs.traceparent.set(traceparent)
