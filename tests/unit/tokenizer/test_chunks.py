import asyncio
import threading
import time
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import Overloaded
from triptych_tokenizer.chunks import Chunk, run_chunks, split, times
from triptych_tokenizer.workers import Done, Workers


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(threads=2, capacity=10)
    yield made
    made.close()


@given(st.lists(st.integers(0, 20)), st.integers(1, 30))
def test_chunks_are_runs_within_the_limit(sizes: list[int], limit: int) -> None:
    rows = list(split(sizes, limit))
    assert [index for run in rows for index in range(len(sizes))[run]] == list(range(len(sizes)))
    assert all(sum(sizes[run]) <= limit or run.stop - run.start == 1 for run in rows)


async def test_results_come_in_order(workers: Workers) -> None:
    def slower_at_first(rows: slice) -> object:
        time.sleep(0.02 if rows.start == 0 else 0)
        return rows.start

    rows = [slice(start, start + 1) for start in range(8)]
    chunks = await run_chunks(workers, rows, slower_at_first)
    assert [chunk.done.value for chunk in chunks] == list(range(8))


async def test_inline_work_stays_in_the_callers_thread(workers: Workers) -> None:
    def where(rows: slice) -> int:
        return threading.get_ident()

    (inline,) = await run_chunks(workers, [slice(0, 1)], where, inline=True)
    (threaded,) = await run_chunks(workers, [slice(0, 1)], where)
    assert inline.done.value == threading.get_ident() != threaded.done.value


async def test_a_large_call_leaves_room_for_a_small_one(workers: Workers) -> None:
    order: list[str] = []

    async def call(name: str, chunks: int) -> None:
        rows = [slice(number, number + 1) for number in range(chunks)]
        await run_chunks(workers, rows, lambda _: time.sleep(0.005))
        order.append(name)

    large = asyncio.create_task(call("large", 20))
    await asyncio.sleep(0.01)
    await call("small", 1)
    await large
    assert order == ["small", "large"]


async def test_cancelled_work_that_waits_is_not_begun(workers: Workers) -> None:
    release, begun = threading.Event(), []
    both = threading.Barrier(3)

    def work(rows: slice) -> None:
        begun.append(rows.start)
        both.wait(10)
        release.wait(10)

    rows = [slice(number, number + 1) for number in range(4)]
    task = asyncio.create_task(run_chunks(workers, rows, work))
    await asyncio.to_thread(both.wait, 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    release.set()
    await workers.run(lambda: None)
    assert sorted(begun) == [0, 1]


def test_a_full_queue_refuses(workers: Workers) -> None:
    with workers.admit(6):
        with pytest.raises(Overloaded) as caught, workers.admit(5):
            pass
        assert caught.value.retry_after
        with workers.admit(4):
            assert workers.load == 10
    assert workers.load == 0


def test_times_are_those_of_the_callers_own_chunks() -> None:
    chunks = [
        Chunk(slice(0, 2), Done(None, started=1.0, finished=1.5)),
        Chunk(slice(2, 4), Done(None, started=4.0, finished=6.0)),
    ]
    callers = [Caller(0, 2, 0), Caller(2, 0, 0), Caller(2, 2, 0), Caller(0, 4, 0)]
    found = times(callers, chunks, arrived=0.5, extra=0.25)
    queues = [time.queue for time in found]
    computes = [time.compute for time in found]
    assert queues == [0.5, 0.0, 3.5, 3.5]
    assert computes == [0.75, 0.25, 2.25, 2.25]
