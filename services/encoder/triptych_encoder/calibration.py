"""What a run costs on what serves: measured when a model is loaded."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from triptych_encoder.backend import Backend, RaggedBatch
from triptych_encoder.cost import CostModel, Shape

# Each shape comes up several times, so that a moment's disturbance meets them all alike.
ROUNDS: Final = 3
# Seconds that a shape runs in each round, and runs at least: about 0.4 s in all for a small model.
SECONDS_EACH: Final = 0.02
MIN_RUNS: Final = 2
# Whatever else the machine does makes runs slower and never faster; a low quantile leaves it out.
QUANTILE: Final = 0.25


def measure(
    backend: Backend, outputs: Sequence[str], workers: int, longest: int, highest_id: int
) -> CostModel:
    """The costs of one worker's runs while all of `workers` are busy.

    Sequences have at most `longest` tokens with ids up to `highest_id`.
    """
    seconds: defaultdict[Shape, list[float]] = defaultdict(list)
    kind = backend.cost_model
    shapes = [(rows, min(width, longest)) for rows, width in kind.shapes]
    batches = {shape: _batch(shape, highest_id) for shape in shapes}
    with ThreadPoolExecutor(workers, thread_name_prefix="calibrate") as pool:
        for _ in range(ROUNDS):
            for shape, batch in batches.items():
                runs = [pool.submit(_runs, backend, batch, outputs) for _ in range(workers)]
                seconds[shape] += [each for run in runs for each in run.result()]
    return kind.fit(
        {shape: float(np.quantile(times, QUANTILE)) for shape, times in seconds.items()}
    )


def _runs(backend: Backend, batch: RaggedBatch, outputs: Sequence[str]) -> list[float]:
    """Seconds of each of some runs, one after the other."""
    clock = [time.perf_counter()]
    while len(clock) <= MIN_RUNS or clock[-1] - clock[0] < SECONDS_EACH:
        backend.run(batch, outputs)
        clock.append(time.perf_counter())
    return np.diff(clock).tolist()


def _batch(shape: Shape, highest_id: int) -> RaggedBatch:
    rows, width = shape
    ids = np.arange(rows * width, dtype=np.int32) % (highest_id + 1)
    return RaggedBatch(ids, None, np.full(rows, width, np.int32))
