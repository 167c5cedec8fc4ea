"""The callers who share a stage call: CallContext on the wire, Caller inside."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from triptych.v1 import types_pb2 as types
from triptych_servicekit.durations import set_seconds
from triptych_servicekit.errors import InvalidArgument

MAX_REQUEST_ID: Final = 128
PRIORITIES: Final = frozenset(types.Priority.values())


@dataclass(frozen=True, slots=True)
class Caller:
    """Items `start` to `start + count` of a call belong to this caller.

    `deadline` is on the clock of `time.monotonic`. `priority` is 1 (high) to 3 (low).
    """

    start: int
    count: int
    deadline: float
    priority: int = types.PRIORITY_NORMAL
    request_id: str = ""

    def expired(self, now: float) -> bool:
        """Whether computing for this caller would be in vain."""
        return self.deadline <= now


class Call(Protocol):
    """What is read of a gRPC call."""

    def time_remaining(self) -> float | None:
        """Seconds to the deadline; None where the client set none."""


def read_callers(
    contexts: Sequence[types.CallContext], item_count: int, call: Call, default_timeout: float
) -> tuple[Caller, ...]:
    """Callers of a call with `item_count` items.

    Without contexts there is one caller: the call itself. Raises InvalidArgument where the
    contexts' counts do not add up to the items.
    """
    remaining = call.time_remaining()
    limit = time.monotonic() + (default_timeout if remaining is None else remaining)
    if not contexts:
        return (Caller(0, item_count, limit),)
    callers = []
    start = 0
    for context in contexts:
        callers.append(_caller(context, start, limit))
        start += context.item_count
    if start != item_count:
        raise InvalidArgument(
            f"contexts: item_count adds up to {start}, the request has {item_count} items",
            field="contexts.item_count",
        )
    return tuple(callers)


def _caller(context: types.CallContext, start: int, limit: float) -> Caller:
    if context.priority not in PRIORITIES:
        raise InvalidArgument("contexts.priority is unknown", field="contexts.priority")
    deadline = limit
    if context.HasField("timeout"):
        seconds = context.timeout.seconds + context.timeout.nanos * 1e-9
        deadline = min(limit, time.monotonic() + seconds)
    return Caller(
        start,
        context.item_count,
        deadline,
        context.priority or types.PRIORITY_NORMAL,
        context.request_id[:MAX_REQUEST_ID],
    )


def stage_timing(queue: float, compute: float, batch_id: str = "") -> types.StageTiming:
    """StageTiming of seconds spent waiting and computing."""
    timing = types.StageTiming()
    timing.batch_id = batch_id
    set_seconds(timing.queue, queue)
    set_seconds(timing.compute, compute)
    return timing
