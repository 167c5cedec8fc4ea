"""Threads that let others go first."""

import os
import sys
import threading


def give_way(niceness: int) -> None:
    """Let other threads go before the calling one. Only Linux has a niceness for each thread."""
    if niceness and sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), niceness)
