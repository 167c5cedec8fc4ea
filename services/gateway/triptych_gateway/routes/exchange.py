"""One request on its way to its answer."""

import asyncio
import contextlib
import math
import time
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from fastapi import Request

from triptych_gateway import identity
from triptych_gateway.tasks import Origin, Timing, Usage
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.http import Message, Receive, Send

SCOPE_KEY: Final = "triptych.exchange"
JSON: Final = b"application/json"
# What is dropped of a body that is refused, at most.
MAX_DROPPED_BYTES: Final = 16 * 1024 * 1024
MAX_DROPPED_SECONDS: Final = 5.0

Header = tuple[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Cost:
    """Tokens that were encoded, and which inputs were cut, in ascending order."""

    tokens: int
    cut: Sequence[int] = ()

    @classmethod
    def of(cls, usage: Usage, failed: Collection[int] = ()) -> "Cost":
        """The cost that a usage amounts to; inputs that `failed` were not cut but refused."""
        tokens, truncated = usage.prompt_tokens, usage.truncated
        if not truncated.any():
            return cls(tokens)
        cut = np.flatnonzero(truncated).tolist()
        return cls(tokens, [row for row in cut if row not in failed])


@dataclass(frozen=True, slots=True)
class Answer:
    """What goes back, but for the headers that every answer has."""

    body: bytes
    status: int = 200
    content_type: bytes = JSON
    headers: tuple[Header, ...] = ()
    timing: Timing | None = None
    cost: Cost | None = None


class Exchange(Request):
    """A request, who asks, and what has been sent back; its answers all get the same headers.

    A Request, so that FastAPI accepts it as an endpoint's argument and describes the endpoint.
    """

    def __init__(self, scope: Message, receive: Receive, send: Send, timeout: float) -> None:
        super().__init__(scope, receive, send)
        self.started = time.perf_counter()
        self.fields: dict[bytes, bytes] = dict(scope["headers"])
        self.request_id = identity.request_id(self.field(b"x-request-id"))
        self.traceparent, self.tracestate = identity.trace_context(
            self.field(b"traceparent"), self.field(b"tracestate")
        )
        self.content = b""
        self.room = 0
        """Bytes that the body holds of the room for all bodies."""
        self.status = 0
        """Status of the answer; 0 until it has begun."""
        self._timing: Timing | None = None
        self._timeout = timeout
        self._out = send

    @property
    def elapsed(self) -> float:
        """Seconds since the request's headers were read."""
        return time.perf_counter() - self.started

    @property
    def route(self) -> str:
        """Template of the route that matched; never the path, of which there is no end."""
        return getattr(self.scope.get("route"), "path", "unmatched")

    def field(self, name: bytes) -> str:
        """A header's value; empty where there is none."""
        return self.fields.get(name, b"").decode("latin-1")

    def take_content(self) -> bytes:
        """The body, which is from then on only the caller's."""
        content, self.content = self.content, b""
        return content

    def time_left(self) -> float:
        """Seconds to the deadline. Raises InvalidArgument for a header that is no number."""
        return _timeout(self.field(b"x-request-timeout"), self._timeout) - self.elapsed

    def origin(self) -> Origin:
        """Whose request it is. Raises InvalidArgument for headers that cannot be read."""
        return Origin(
            deadline=time.monotonic() + self.time_left(),
            request_id=self.request_id,
            traceparent=self.traceparent,
            tracestate=self.tracestate,
            priority=identity.priority(self.field(b"x-priority")),
        )

    async def send(self, message: Message) -> None:
        """Pass a message of an answer on, adding the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *self._own_headers()]
        await self._out(message)

    async def respond(self, answer: Answer) -> None:
        """Send an answer."""
        await self._start(answer)
        await self._out({"type": "http.response.body", "body": answer.body})

    async def refuse_body(self, answer: Answer, receive: Receive) -> None:
        """Send an answer to a request whose body is not to be read.

        Some clients look for an answer only when all is sent, and find none on a connection that
        was closed meanwhile; so what still comes is dropped for a while.
        """
        await self._start(answer)
        await self._out({"type": "http.response.body", "body": answer.body, "more_body": True})
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(MAX_DROPPED_SECONDS):
                await _drop(receive, MAX_DROPPED_BYTES)
        await self._out({"type": "http.response.body", "body": b""})

    async def _start(self, answer: Answer) -> None:
        self._timing = answer.timing
        start: Message = {
            "type": "http.response.start",
            "status": answer.status,
            "headers": [
                (b"content-type", answer.content_type),
                (b"content-length", b"%d" % len(answer.body)),
                *answer.headers,
                *_cost_headers(answer.cost),
            ],
        }
        await self.send(start)

    def _own_headers(self) -> tuple[Header, ...]:
        timing = b"%stotal;dur=%.2f" % (_stages(self._timing), self.elapsed * 1e3)
        return (b"x-request-id", self.request_id.encode()), (b"server-timing", timing)


async def _drop(receive: Receive, left: int) -> None:
    more = True
    while more and left > 0:
        message = await receive()
        left -= len(message.get("body", b""))
        more = message.get("more_body", False)


def _timeout(sent: str, longest: float) -> float:
    if not sent:
        return longest
    try:
        seconds = float(sent)
    except ValueError:
        seconds = math.nan
    if not seconds > 0:
        message = "x-request-timeout must be seconds greater than 0"
        raise InvalidArgument(message, field="x-request-timeout")
    return min(seconds, longest)


def _stages(timing: Timing | None) -> bytes:
    if timing is None:
        return b""
    return b"tokenize;dur=%.2f, queue;dur=%.2f, encode;dur=%.2f, postprocess;dur=%.2f, " % (
        timing.tokenize * 1e3,
        timing.queue * 1e3,
        timing.encode * 1e3,
        timing.postprocess * 1e3,
    )


def _cost_headers(cost: Cost | None) -> Iterator[Header]:
    if cost is None:
        return
    yield b"x-compute-tokens", b"%d" % cost.tokens
    if cost.cut:
        yield b"x-truncated-inputs", b"%d" % len(cost.cut)
