"""What tests of the dispatcher start from: a real one, and submissions to give it."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable, Sequence

import numpy as np

from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS
from triptych_encoder.batcher import Batcher
from triptych_encoder.cost import CostModel
from triptych_encoder.dispatcher import Dispatcher, Lane
from triptych_encoder.entry import Submission
from triptych_encoder.outputs import Output, SequenceRows, TokenRows
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.callers import Caller

HIDDEN_SIZE = 4
LABELS = 3
COSTS = CostModel(8)
FLOAT32 = np.dtype(np.float32)


@contextlib.asynccontextmanager
async def dispatching(
    backend: ArithmeticBackend,
    workers: int = 2,
    budget: int = 64,
    metrics: EncoderMetrics | None = None,
    alone: ArithmeticBackend | None = None,
) -> AsyncIterator[tuple[Dispatcher, Lane]]:
    dispatcher = Dispatcher(Batcher(budget), workers, metrics or EncoderMetrics())
    lane = Lane(backend, 64, COSTS, alone)
    dispatcher.add(lane)
    dispatcher.start()
    try:
        yield dispatcher, lane
    finally:
        lane.close()
        await dispatcher.stop()


def expected(name: str, ids: Sequence[int]) -> list[list[float]]:
    """The rows that ArithmeticBackend gives a sequence."""
    array = np.array(ids, np.float64)[:, None]
    hidden, logits = array * np.arange(1, HIDDEN_SIZE + 1), -array * np.arange(1, LABELS + 1)
    rows = {
        HIDDEN: hidden,
        TOKEN_LOGITS: logits,
        LOGITS: logits.sum(axis=0, keepdims=True),
        "pooled.cls": hidden[:1],
        "pooled.mean": hidden.mean(axis=0, keepdims=True),
    }
    return list(rows[name].tolist())


async def until(condition: Callable[[], bool]) -> None:
    """Wait for what the dispatcher's threads bring about, ten seconds at most."""
    for _ in range(10_000):
        if condition():
            return
        await asyncio.sleep(0.001)
    raise AssertionError("it never came to be")


async def block(dispatcher: Dispatcher, lane: Lane, backend: ArithmeticBackend) -> None:
    """Keep the only worker busy with a sequence of one token until the backend's gate opens."""
    submit(dispatcher, lane, submission([[99]]))
    await until(lambda: bool(backend.shapes))


def submission(
    sequences: Sequence[Sequence[int]],
    outputs: Sequence[str] = ("pooled.mean",),
    token_types: Sequence[Sequence[int]] | None = None,
) -> Submission:
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    types = None if token_types is None else joined(token_types)
    wanted = [output(name, lengths) for name in outputs]
    return Submission(joined(sequences), types, lengths, wanted, time.monotonic())


def joined(rows: Sequence[Sequence[int]]) -> np.ndarray[tuple[int], np.dtype[np.int32]]:
    return np.array([number for row in rows for number in row], np.int32)


def output(name: str, lengths: np.ndarray[tuple[int], np.dtype[np.int32]]) -> Output:
    width = LABELS if name in (LOGITS, TOKEN_LOGITS) else HIDDEN_SIZE
    rows = TokenRows(lengths) if name in (HIDDEN, TOKEN_LOGITS) else SequenceRows(len(lengths))
    return Output(name, rows, width, FLOAT32)


def submit(
    dispatcher: Dispatcher, lane: Lane, work: Submission, timeout: float = 60.0, priority: int = 2
) -> Submission:
    callers = [Caller(0, len(work.lengths), work.arrived + timeout, priority)]
    dispatcher.submit(lane, list(work.entries(callers)))
    return work
