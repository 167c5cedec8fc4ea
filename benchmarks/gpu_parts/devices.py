"""The GPU that is measured, or arithmetic in its place, with which the script itself is tried."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.gpu_parts import workloads
from triptych_encoder.gpu.arithmetic_executor import ArithmeticExecutor
from triptych_encoder.gpu.backend import PackedBackend
from triptych_encoder.gpu.cuda_executor import CudaExecutor
from triptych_encoder.gpu.cudart import CudaRuntime
from triptych_encoder.gpu.device import Gpu, probe_provider
from triptych_encoder.gpu.session import load_libraries
from triptych_encoder.gpu.thread import GpuThread


@contextmanager
def executor(graph: Path, arithmetic: bool) -> Iterator[Any]:
    """Of a graph, for loops of our own."""
    if arithmetic:
        opened: Any = ArithmeticExecutor()
    else:
        load_libraries()
        runtime = CudaRuntime()
        probe_provider()
        opened = CudaExecutor(graph, runtime, 0, record=False)
    try:
        yield opened
    finally:
        opened.close()


@contextmanager
def idle(hidden: int, slots: int) -> Iterator[PackedBackend]:
    """A GPU that does nothing, for what everything around it can do."""
    thread = GpuThread()
    make = partial(ArithmeticExecutor, hidden, idle=True)
    opened = PackedBackend(make, thread, workloads.BATCH_TOKENS, slots, record=False)
    yield opened
    opened.close()
    thread.close()


@contextmanager
def backend(
    graph: Path, arithmetic: bool, slots: int = 2, record: bool = False
) -> Iterator[PackedBackend]:
    """Of a graph, as the service has it."""
    if arithmetic:
        thread = GpuThread()
        opened = PackedBackend(ArithmeticExecutor, thread, workloads.BATCH_TOKENS, slots, record)
        yield opened
        opened.close()
        thread.close()
        return
    gpu = Gpu(workloads.BATCH_TOKENS, slots, 0, record)
    gpu.start()
    opened = gpu.open(graph)
    yield opened
    opened.close()
    gpu.close()
