"""What is measured of our own graphs. Each part yields lines of the table."""

import statistics
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.gpu_parts import devices, loops, workloads
from benchmarks.gpu_parts.report import Line
from benchmarks.gpu_parts.shapes import ModelShape, graph_path, write_graphs
from triptych_encoder.padding import pad

PARITY_LENGTHS: Final = (1, 3, 16, 31, 64, 100, 128, 200, 384, 512)
SMALL: Final = ((1, 16), (1, 128), (4, 128), (8, 128), (16, 128))
RUNS: Final = 200
BATCHES: Final = 8


def graphs(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:  # noqa: ARG001
    """Write them, which takes no GPU."""
    started = time.perf_counter()
    write_graphs(folder, shape)
    yield Line(shape.name, "graphs written", time.perf_counter() - started, "s")


def parity(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """Cosines of packed fp16 vectors to padded fp32 ones of the CPU."""
    batch = workloads.ragged(workloads.sequences(PARITY_LENGTHS, 9))
    names = ["pooled.cls", "pooled.mean", "pooled.last_token"]
    with devices.backend(graph_path(folder, shape.name, "packed"), arithmetic) as ran:
        actual = ran.run(batch, names)
    for name, ours, theirs in zip(names, actual, _reference(folder, shape, names), strict=True):
        ours = np.asarray(ours, np.float64)
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        yield Line(shape.name, f"cosine to fp32, {name}", (ours * theirs).sum(1) / norms, "worst")


def _reference(folder: Path, shape: ModelShape, names: list[str]) -> list[np.ndarray]:
    import onnxruntime

    path = graph_path(folder, shape.name, "cpu")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    padded = pad(workloads.ragged(workloads.sequences(PARITY_LENGTHS, 9)))
    feeds = {item.name: getattr(padded, item.name) for item in session.get_inputs()}
    return [np.asarray(array, np.float64) for array in session.run(names, feeds)]


def packed(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """The device loop of the packed graph: one length, and mixed."""
    with devices.executor(graph_path(folder, shape.name, "packed"), arithmetic) as executor:
        batches = workloads.fixed(shape.length, BATCHES)
        steps = loops.packed_steps(executor, batches)
        found = loops.rate(executor, steps, workloads.tokens(batches))
        yield Line(shape.name, f"packed, {shape.length} tokens", found, "tokens/s",
                   found / shape.limit(shape.length), shape.must)  # fmt: skip
        batches = workloads.mixed(BATCHES)[:BATCHES]
        steps = loops.packed_steps(executor, batches)
        found = loops.rate(executor, steps, workloads.tokens(batches))
        yield Line(shape.name, "packed, 16 to 512 tokens", found, "tokens/s")


def padded(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """The same of the padded graph, which computes padding too; as they come, and sorted."""
    with devices.executor(graph_path(folder, shape.name, "padded"), arithmetic) as executor:
        cases = {
            f"padded, {shape.length} tokens": workloads.fixed(shape.length, BATCHES),
            "padded, 16 to 512 tokens as they come": workloads.mixed(BATCHES, True),
            "padded, 16 to 512 tokens sorted": _spread(workloads.mixed(BATCHES, True, True)),
        }
        for name, batches in cases.items():
            batches = batches[:BATCHES]
            steps = loops.padded_steps(executor, batches)
            yield Line(
                shape.name, name, loops.rate(executor, steps, workloads.tokens(batches)), "tokens/s"
            )


def _spread(batches: list[Any]) -> list[Any]:
    """Some of all, evenly, since the shortest come first."""
    return batches[:: max(1, len(batches) // BATCHES)]


def small(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """Latency of small batches through the backend, with CUDA graphs and without."""
    path = graph_path(folder, shape.name, "packed")
    for record in (False, True):
        how, started = "recorded" if record else "launched one by one", time.perf_counter()
        with devices.backend(path, arithmetic, record=record) as ran:
            yield Line(shape.name, f"opened, {how}", time.perf_counter() - started, "s")
            for rows, length in SMALL:
                batch = workloads.ragged(workloads.sequences([length] * rows, rows))
                middle = statistics.median(_times(ran, batch)) * 1e3
                yield Line(shape.name, f"{rows} x {length} tokens, {how}", middle, "ms")


def _times(ran: Any, batch: Any) -> list[float]:
    """Seconds of each run, the first ones left out."""
    clock = [time.perf_counter()]
    for _ in range(RUNS):
        ran.run(batch, loops.POOLED)
        clock.append(time.perf_counter())
    seconds: list[float] = np.diff(clock)[RUNS // 10 :].tolist()
    return seconds


def backend(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """Batches packed, run and read by as many threads as there are slots."""
    path = graph_path(folder, shape.name, "packed")
    batches = [workloads.ragged(one) for one in workloads.fixed(shape.length, BATCHES)]
    tokens = sum(len(one.input_ids) for one in batches)
    for slots in (2, 3):
        with devices.backend(path, arithmetic, slots) as ran, ThreadPoolExecutor(slots) as pool:
            took = loops.seconds(partial(_round, pool, ran, batches))
        yield Line(shape.name, f"backend, {slots} slots", tokens / took, "tokens/s")


def _round(pool: ThreadPoolExecutor, ran: Any, batches: list[Any]) -> None:
    list(pool.map(lambda one: ran.run(one, loops.POOLED), batches))
