"""The device loop: steps that are prepared beforehand, launched one after the other."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

import numpy as np

from benchmarks.gpu_parts import workloads
from triptych_encoder.backend import Ints, RaggedBatch
from triptych_encoder.gpu.executor import Executor, Region, Step
from triptych_encoder.gpu.packing import places
from triptych_encoder.gpu.shapes import Shape, largest, round_up, shape_of
from triptych_encoder.gpu.slots import Counting, Slot, output_places

# Seconds that a loop runs at least after one round to warm up; at most so many steps lie prepared.
SECONDS: Final = 2.0
PREPARED: Final = 8
POOLED: Final = ("pooled.mean",)


def packed_steps(executor: Executor, batches: Sequence[Sequence[Ints]]) -> list[Step]:
    """A step for each batch, each in memory of its own."""
    ragged = [workloads.ragged(batch) for batch in batches[:PREPARED]]
    limit = largest(max(len(one.input_ids) for one in ragged), 1024, executor.max_length)
    numbers = np.arange(max(limit.tokens, limit.width), dtype=np.int32)
    memory = executor.allocate(numbers.nbytes)
    memory.host[:] = numbers.view(np.uint8)
    executor.launch(Step(memory, numbers.nbytes, {}, {}, memory, ()))
    names = [name for name in ("token_index", "sequence_index") if name in executor.inputs]
    counting = Counting(memory, names)
    return [
        Slot(executor, counting, limit).prepare(batch, shape_of(batch), POOLED) for batch in ragged
    ]


def padded_steps(executor: Executor, batches: Sequence[Sequence[Ints]]) -> list[Step]:
    """As `packed_steps`, for the padded graph."""
    return [_padded_step(executor, workloads.ragged(batch)) for batch in batches[:PREPARED]]


def _padded_step(executor: Executor, batch: RaggedBatch) -> Step:
    feeds = padded_feeds(batch)
    kept = {name: array for name, array in feeds.items() if name in executor.inputs}
    found = places((name, array.shape, array.dtype) for name, array in kept.items())
    source = executor.allocate(max(place.end for place in found.values()))
    for name, place in found.items():
        place.of(source.host)[...] = kept[name]
    rows, width = feeds["input_ids"].shape
    results = output_places(executor.outputs, Shape(rows * width, rows, rows, width))
    target = executor.allocate(max(place.end for place in results.values()))
    return Step(
        source,
        max(place.end for place in found.values()),
        {n: Region(source.device + p.start, p.shape, p.dtype) for n, p in found.items()},
        {n: Region(target.device + p.start, p.shape, p.dtype) for n, p in results.items()},
        target,
        [(results[name].start, results[name].end) for name in POOLED],
    )


def padded_feeds(batch: RaggedBatch) -> dict[str, Ints]:
    """What the padded graph reads."""
    lengths = batch.lengths
    rows, width = len(lengths), round_up(int(lengths.max()))
    steps = np.arange(width, dtype=np.int32)
    real = steps < lengths[:, None]
    ids = np.full((rows, width), 1, np.int32)
    ids[real] = batch.input_ids
    starts = np.arange(rows + 1, dtype=np.int32) * width
    return {
        "input_ids": ids,
        "position_ids": np.broadcast_to(steps, (rows, width)),
        "token_type_ids": np.zeros_like(ids),
        "key_lengths": np.concatenate([lengths, starts, starts]),
        "first_tokens": starts[:-1],
        "last_tokens": starts[:-1] + lengths - 1,
        "token_index": np.arange(rows * width, dtype=np.int32),
        "sequence_index": steps,
    }


def rate(executor: Executor, steps: Sequence[Step], tokens: int) -> float:
    """Tokens a second over rounds of all steps, which have `tokens` together."""
    return tokens / seconds(partial(_round, executor, steps))


def _round(executor: Executor, steps: Sequence[Step]) -> None:
    for step in steps:
        executor.launch(step)
    executor.wait(steps[-1])


def seconds(run: Callable[[], object], at_least: float = SECONDS) -> float:
    """Of a run, as the mean over some seconds, after one that warms up."""
    run()
    started, count = time.perf_counter(), 0
    while time.perf_counter() - started < at_least:
        run()
        count += 1
    return (time.perf_counter() - started) / count
