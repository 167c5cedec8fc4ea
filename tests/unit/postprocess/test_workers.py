import subprocess
import sys
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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="counts threads in /proc")
def test_products_bring_no_threads_of_their_own() -> None:
    program = """
import os
import triptych_postprocess.heads
import numpy as np
np.ones((512, 512), np.float32) @ np.ones((512, 512), np.float32)
print(len(os.listdir("/proc/self/task")))
"""
    made = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert made.stdout.strip() == "1"
