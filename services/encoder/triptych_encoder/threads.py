"""Threads that let others go first."""

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T")


def give_way(niceness: int) -> None:
    """Let other threads go before the calling one. Only Linux has a niceness for each thread."""
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)


def giving_way(niceness: int, do: Callable[[], T]) -> T:
    """What `do` returns; the threads that it starts give way as much."""
    with ThreadPoolExecutor(1, initializer=give_way, initargs=(niceness,)) as pool:
        return pool.submit(do).result()
