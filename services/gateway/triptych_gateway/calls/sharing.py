"""What every stage call does: say who calls, wait no longer than they do, divide the answer."""

import copy
import time
from collections.abc import Iterable, Sequence
from typing import Any, Final

import grpc
import grpc.aio
import numpy as np

from triptych.v1 import types_pb2 as types
from triptych_gateway.columns import split
from triptych_gateway.entries import Entry
from triptych_gateway.tasks import Origin
from triptych_gateway.work import StageTime, Times
from triptych_servicekit.durations import set_seconds
from triptych_servicekit.errors import TriptychError, Unavailable
from triptych_servicekit.status import from_rpc_error, from_status

Entries = Sequence[Entry[Any, Any]]

# A stage that is cut off in the middle of a call ends it with one of these; none of ours sends
# them on purpose.
CUT_OFF: Final = (grpc.StatusCode.CANCELLED, grpc.StatusCode.UNKNOWN)


async def invoke(method: Any, request: Any, entries: Entries) -> Any:
    """Call a stub's method with the latest deadline of the entries. Raises the error tree's own."""
    timeout = max(entry.deadline for entry in entries) - time.monotonic()
    try:
        return await method(request, timeout=max(timeout, 0))
    except grpc.aio.AioRpcError as failure:
        if failure.code() in CUT_OFF:
            raise Unavailable("the stage went away") from None
        raise _in_the_clients_words(from_rpc_error(failure)) from None
    except TriptychError as error:  # a call on a stream
        raise _in_the_clients_words(error) from None


def _in_the_clients_words(error: TriptychError) -> TriptychError:
    """A stage names its own `options.<name>`; to the gateway's clients the option is `<name>`.

    Another error than the one given, which holds the frames that it came through.
    """
    field = (error.field or "").removeprefix("options.")
    if not field or field == error.field:
        return copy.copy(error)
    message = error.message.replace(error.field or "", field)
    return type(error)(message, reason=error.reason, field=field, retry_after=error.retry_after)


def contexts(entries: Entries) -> list[types.CallContext]:
    """A CallContext for each caller of the entries."""
    now = time.monotonic()
    return [_context(origin, count, now) for entry in entries for origin, count in entry.callers]


def _context(origin: Origin, count: int, now: float) -> types.CallContext:
    # field by field, which takes half as long as all of them as arguments
    context = types.CallContext()
    context.item_count = count
    context.priority = types.Priority.ValueType(origin.priority)
    context.traceparent = origin.traceparent
    context.tracestate = origin.tracestate
    context.request_id = origin.request_id
    context.tenant = origin.tenant
    set_seconds(context.timeout, max(0.0, origin.deadline - now))
    return context


def split_errors(
    errors: Iterable[types.ItemError], counts: Sequence[int]
) -> list[dict[int, TriptychError]]:
    """The item errors of each entry, counted from the entry's first item."""
    parts: list[dict[int, TriptychError]] = [{} for _ in counts]
    ends = np.cumsum(counts)
    for error in errors:
        part = int(np.searchsorted(ends, error.index, side="right"))
        start = int(ends[part]) - counts[part]
        parts[part][error.index - start] = from_status(error.status)
    return parts


def surviving(counts: Sequence[int], errors: Sequence[dict[int, TriptychError]]) -> list[int]:
    """Items of each entry that have no error."""
    return [count - len(failed) for count, failed in zip(counts, errors, strict=True)]


def stage_times(timings: Iterable[types.StageTiming], entries: Entries) -> list[Times]:
    """Seconds of the callers of each entry."""
    times = [
        StageTime(
            timing.queue.seconds + timing.queue.nanos * 1e-9,
            timing.compute.seconds + timing.compute.nanos * 1e-9,
        )
        for timing in timings
    ]
    return split(times, [len(entry.callers) for entry in entries])
