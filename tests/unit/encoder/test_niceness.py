"""Threads of runs on the cores let others go first."""

import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from triptych_encoder.devices import CPU_NICENESS, Cpu
from triptych_encoder.threads import give_way

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux has it by thread")


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


def test_only_the_threads_of_runs_give_way() -> None:
    before = niceness()
    with ThreadPoolExecutor(1, "encode", give_way, (before + 3,)) as threads:
        assert threads.submit(niceness).result() == before + 3
    assert niceness() == before


def test_of_a_cpu_and_not_without_one() -> None:
    assert Cpu("fp32", 1).niceness == CPU_NICENESS
    before = niceness()
    with ThreadPoolExecutor(1, "encode", give_way, (0,)) as threads:
        assert threads.submit(niceness).result() == before
