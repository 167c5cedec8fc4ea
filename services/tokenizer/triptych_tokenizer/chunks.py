"""Calls cut into chunks: the unit that a thread takes, and after which calls take turns."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar

from triptych_servicekit.callers import Caller
from triptych_servicekit.together import in_lanes
from triptych_tokenizer.workers import Done, Workers

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Times:
    """Seconds that a caller's items waited and were computed, at most."""

    queue: float
    compute: float


@dataclass(frozen=True, slots=True)
class Chunk(Generic[T]):
    """What became of the items `rows` of a call."""

    rows: slice
    done: Done[T]


def split(sizes: Sequence[int], limit: int) -> Iterator[slice]:
    """Runs of items whose sizes add up to `limit` at most; a larger item is a run of its own."""
    start = total = 0
    for index, size in enumerate(sizes):
        if total + size > limit and index > start:
            yield slice(start, index)
            start, total = index, 0
        total += size
    if start < len(sizes):
        yield slice(start, len(sizes))


async def run_chunks(
    workers: Workers, rows: Sequence[slice], work: Callable[[slice], T], *, inline: bool = False
) -> list[Chunk[T]]:
    """Do `work` for every run of rows, in threads or `inline`; results in the order of `rows`.

    A call has at most one chunk a thread in the pool, so a large call does not keep small ones
    waiting for all of it.
    """
    if inline:
        return [Chunk(run, await workers.run(partial(work, run), inline=True)) for run in rows]

    async def done(run: slice) -> Chunk[T]:
        return Chunk(run, await workers.run(partial(work, run)))

    return await in_lanes(workers.threads, rows, done)


def times(
    callers: Sequence[Caller], chunks: Sequence[Chunk[T]], arrived: float, extra: float
) -> list[Times]:
    """Times of every caller; `extra` seconds of computing went to all items together."""
    if len(chunks) == 1:  # all are in it
        return [_times(callers[0], chunks, arrived, extra)] * len(callers)
    return [_times(caller, chunks, arrived, extra) for caller in callers]


def _times(caller: Caller, chunks: Sequence[Chunk[T]], arrived: float, extra: float) -> Times:
    stop = caller.start + caller.count
    own = [
        chunk.done for chunk in chunks if chunk.rows.start < stop and caller.start < chunk.rows.stop
    ]
    queue = max((done.started - arrived for done in own), default=0.0)
    compute = max((done.finished - done.started for done in own), default=0.0)
    return Times(max(queue, 0.0), compute + extra)
