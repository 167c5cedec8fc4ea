"""What a run costs on the cores that serve: measured when a model is loaded."""

import time
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final

import numpy as np

from triptych_encoder.backend import Backend, PaddedBatch
from triptych_encoder.cost import CostModel, Shape

# Small runs tell the price of a call, large ones that of a token.
SHAPES: Final[Sequence[Shape]] = ((1, 8), (2, 16), (4, 16), (4, 32), (4, 64), (2, 128))
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
    batches = [_batch((rows, min(width, longest)), highest_id) for rows, width in SHAPES]
    with ThreadPoolExecutor(workers, thread_name_prefix="calibrate") as pool:
        for _ in range(ROUNDS):
            for batch in batches:
                runs = [pool.submit(_runs, backend, batch, outputs) for _ in range(workers)]
                rows, width = batch.input_ids.shape
                seconds[rows, width] += [each for run in runs for each in run.result()]
    return CostModel.fit(
        {shape: float(np.quantile(times, QUANTILE)) for shape, times in seconds.items()}
    )


def _runs(backend: Backend, batch: PaddedBatch, outputs: Sequence[str]) -> list[float]:
    """Seconds of each of some runs, one after the other."""
    clock = [time.perf_counter()]
    while len(clock) <= MIN_RUNS or clock[-1] - clock[0] < SECONDS_EACH:
        backend.run(batch, outputs)
        clock.append(time.perf_counter())
    return np.diff(clock).tolist()


def _batch(shape: Shape, highest_id: int) -> PaddedBatch:
    ids = np.arange(shape[0] * shape[1], dtype=np.int32).reshape(shape) % (highest_id + 1)
    return PaddedBatch(ids, np.ones_like(ids), np.zeros_like(ids))
