"""The encoder's admission."""

import time

import numpy as np
import pytest

from triptych_encoder.admission import MIN_FULL_RUNS, Admission
from triptych_encoder.batch import Batch
from triptych_encoder.cost import CostModel
from triptych_encoder.entry import Submission
from triptych_encoder.outputs import Output, SequenceRows
from triptych_encoder.settings import Batching
from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import DeadlineExceeded, InvalidArgument, Overloaded

LIMITS = Batching(max_batch_tokens=100, max_queue_wait=2, max_call_tokens=500)


async def batch_of(tokens: int) -> Batch:
    lengths = np.array([tokens], np.int32)
    output = Output("pooled.mean", SequenceRows(1), 4, np.dtype(np.float32))
    work = Submission(np.ones(tokens, np.int32), None, lengths, [output], 0.0)
    return Batch(list(work.entries([Caller(0, 1, time.monotonic() + 60)])), CostModel(8))


def later(seconds: float = 60) -> float:
    return time.monotonic() + seconds


async def test_the_wait_is_estimated_from_full_runs() -> None:
    admission, full = Admission(LIMITS, workers=2), await batch_of(100)
    for _ in range(MIN_FULL_RUNS):
        admission.observe(full, 0.0, 0.2)  # 2 workers: 1,000 tokens a second
    admission.admit(10, 1_900, later())
    with pytest.raises(Overloaded, match=r"about 2\.1 s") as refused:
        admission.admit(10, 2_100, later())
    assert refused.value.retry_after == pytest.approx(2.1)
    with pytest.raises(Overloaded):
        admission.admit(10, 1_000, later(0.5))


async def test_small_and_first_runs_say_nothing() -> None:
    admission = Admission(LIMITS, workers=1)
    small, full = await batch_of(5), await batch_of(100)
    for _ in range(100):
        admission.observe(small, 0.0, 1.0)
    for _ in range(MIN_FULL_RUNS - 1):
        admission.observe(full, 0.0, 10.0)
    admission.admit(10, 100_000, later())


def test_what_never_fits_and_what_comes_too_late() -> None:
    admission = Admission(LIMITS, workers=1)
    with pytest.raises(InvalidArgument, match="500"):
        admission.admit(501, 0, later())
    with pytest.raises(DeadlineExceeded):
        admission.admit(1, 0, later(-1))
    with pytest.raises(Overloaded):
        admission.admit(1, LIMITS.max_queued_tokens, later())


def test_shared_work_is_held_against_the_cap_for_each_call() -> None:
    admission = Admission(LIMITS, workers=1)
    admission.admit(10, 100, later(), claimed_tokens=LIMITS.max_queued_tokens - 10)
    with pytest.raises(Overloaded):
        admission.admit(11, 100, later(), claimed_tokens=LIMITS.max_queued_tokens - 10)
