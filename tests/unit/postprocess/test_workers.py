import threading
from collections.abc import AsyncIterator

import pytest

from triptych_postprocess.workers import Workers


@pytest.fixture
async def workers() -> AsyncIterator[Workers]:
    made = Workers(threads=1, max_inline_bytes=100)
    yield made
    made.close()


async def test_small_work_is_done_at_once(workers: Workers) -> None:
    done = await workers.run(100, threading.get_ident)
    assert done.value == threading.get_ident()
    assert 0 <= done.queue <= 0.1


async def test_large_work_is_done_in_a_thread(workers: Workers) -> None:
    done = await workers.run(101, threading.get_ident)
    assert done.value != threading.get_ident()
    assert done.compute >= 0


async def test_errors_come_through(workers: Workers) -> None:
    for size in (1, 1000):
        with pytest.raises(ZeroDivisionError):
            await workers.run(size, lambda: 1 // 0)
