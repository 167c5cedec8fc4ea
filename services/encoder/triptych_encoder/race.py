"""How much faster one backend is than another, in a race short enough for a start."""

import time
from collections.abc import Sequence
from typing import Final

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_encoder.backend import Backend, RaggedBatch

# Rows and tokens of runs: a short text, many of them, and longer ones.
SHAPES: Final[Sequence[tuple[int, int]]] = ((1, 16), (8, 16), (8, 64))
# The best of a few: whatever else the machine does makes a run slower and never faster. Less than
# half a second in all for a small model.
ROUNDS: Final = 4


def speedup(bundle: Bundle, rival: Backend, reference: Backend) -> float:
    """How many times as fast the rival is: the geometric mean over SHAPES, one worker each."""
    ratios = [_ratio(bundle, shape, rival, reference) for shape in SHAPES]
    return float(np.exp(np.mean(np.log(ratios))))


def _ratio(bundle: Bundle, shape: tuple[int, int], rival: Backend, reference: Backend) -> float:
    batch, outputs = _batch(bundle, *shape), list(bundle.outputs)[:1]
    seconds: dict[Backend, list[float]] = {reference: [], rival: []}
    for _ in range(ROUNDS):
        for backend, measured in seconds.items():
            measured.append(_seconds(backend, batch, outputs))
    return min(seconds[reference]) / min(seconds[rival])


def _seconds(backend: Backend, batch: RaggedBatch, outputs: Sequence[str]) -> float:
    started = time.perf_counter()
    backend.run(batch, outputs)
    return time.perf_counter() - started


def _batch(bundle: Bundle, rows: int, width: int) -> RaggedBatch:
    width = min(width, bundle.max_length)
    ids = np.arange(rows * width, dtype=np.int32) % bundle.vocab_size
    return RaggedBatch(ids, None, np.full(rows, width, np.int32))
