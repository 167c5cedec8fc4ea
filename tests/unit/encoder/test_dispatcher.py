"""The dispatcher, with the arithmetic backend and real threads."""

import asyncio
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.unit.encoder.dispatching import COSTS, HIDDEN_SIZE, dispatching, submission, submit
from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import HIDDEN, RaggedBatch
from triptych_encoder.batch import Batch
from triptych_encoder.batcher import Batcher
from triptych_encoder.dispatcher import Dispatcher, Lane
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.errors import DeadlineExceeded, Internal


class GatedBackend(ArithmeticBackend):
    """Its runs end once `gate` is open."""

    def __init__(self) -> None:
        super().__init__(HIDDEN_SIZE)
        self.gate = threading.Event()

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        assert self.gate.wait(60)
        return super().run(batch, outputs)


async def taken(lane: Lane) -> None:
    """Wait until nothing is queued: it runs."""
    async with asyncio.timeout(60):
        while len(lane.queue):  # noqa: ASYNC110 (threads take from it)
            await asyncio.sleep(0.001)


def expected_mean(ids: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    return np.mean(ids) * np.arange(1, HIDDEN_SIZE + 1)


async def test_results_return_to_their_rows() -> None:
    rng = np.random.default_rng(0)
    sequences = [rng.integers(1, 50, rng.integers(1, 40)).tolist() for _ in range(300)]
    async with dispatching(ArithmeticBackend(HIDDEN_SIZE)) as (dispatcher, lane):
        parts = [submission(sequences[start : start + 30]) for start in range(0, 300, 30)]
        for part in parts:
            submit(dispatcher, lane, part)
        await asyncio.gather(*(part.done for part in parts))
    actual = np.concatenate([part.results[0] for part in parts])
    np.testing.assert_allclose(actual, [expected_mean(ids) for ids in sequences], rtol=1e-5)


async def test_one_pass_gives_every_output() -> None:
    backend = ArithmeticBackend(HIDDEN_SIZE)
    outputs = ("pooled.cls", HIDDEN, "pooled.last_token")
    async with dispatching(backend) as (dispatcher, lane):
        work = submit(dispatcher, lane, submission([[5, 6], [7, 8, 9]], outputs))
        await work.done
    assert len(backend.shapes) == 1
    cls, hidden, last = work.results
    assert cls[:, 0].tolist() == [5, 7]
    assert hidden[:, 0].tolist() == [5, 6, 7, 8, 9]
    assert last[:, 0].tolist() == [6, 9]


async def test_what_queues_while_a_batch_runs_is_the_next_batch() -> None:
    backend = GatedBackend()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        first = submit(dispatcher, lane, submission([[1]]))
        await taken(lane)
        rest = [submit(dispatcher, lane, submission([[3 + n]])) for n in range(10)]
        backend.gate.set()
        await asyncio.gather(*(work.done for work in (first, *rest)))
    assert backend.shapes == [(1, 1), (10, 1)]


async def test_cancelled_and_expired_work_is_never_run() -> None:
    backend = GatedBackend()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        running = submit(dispatcher, lane, submission([[1]]))
        await taken(lane)
        cancelled = submit(dispatcher, lane, submission([[2, 2]]))
        cancelled.done.cancel()
        expired = submit(dispatcher, lane, submission([[3, 3, 3]]), timeout=0.001)
        await asyncio.sleep(0.01)
        backend.gate.set()
        await asyncio.gather(running.done, expired.done)
    assert isinstance(expired.errors[0], DeadlineExceeded)
    assert all(width == 1 for _, width in backend.shapes)
    assert dispatcher.queued_tokens == 0


async def test_a_failing_item_fails_alone() -> None:
    backend = ArithmeticBackend(HIDDEN_SIZE, poison=13)
    async with dispatching(backend) as (dispatcher, lane):
        good = submit(dispatcher, lane, submission([[1, 2], [3, 4]]))
        bad = submit(dispatcher, lane, submission([[5, 6], [7, 13], [8, 9]]))
        await asyncio.gather(good.done, bad.done)
        assert not dispatcher.broken()
    assert not good.errors
    assert list(bad.errors) == [1]
    assert isinstance(bad.errors[1], Internal)
    np.testing.assert_allclose(bad.results[0][2], expected_mean([8, 9]))


async def test_a_lone_request_is_split_over_idle_workers() -> None:
    backend = ArithmeticBackend(HIDDEN_SIZE, seconds=0.02)
    async with dispatching(backend, workers=2, budget=512) as (dispatcher, lane):
        work = submit(dispatcher, lane, submission([[1 + n] * 32 for n in range(12)]))
        await work.done
    assert sorted(backend.shapes) == [(6, 32), (6, 32)]


async def test_two_models_share_the_workers() -> None:
    async with dispatching(ArithmeticBackend(HIDDEN_SIZE)) as (dispatcher, lane):
        other = Lane(ArithmeticBackend(HIDDEN_SIZE), 64, COSTS)
        dispatcher.add(other)
        works = [
            submit(dispatcher, place, submission([[number]]))
            for number, place in enumerate([lane, other] * 5, start=1)
        ]
        await asyncio.gather(*(work.done for work in works))
    assert [work.results[0][0, 0] for work in works] == pytest.approx(range(1, 11))


async def test_a_model_is_removed_when_nothing_of_it_waits_or_runs() -> None:
    backend = ArithmeticBackend(HIDDEN_SIZE, seconds=0.05)
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        other = Lane(ArithmeticBackend(HIDDEN_SIZE), 64, COSTS)
        dispatcher.add(other)
        works = [submit(dispatcher, lane, submission([[1] * 60])) for _ in range(3)]
        removing = asyncio.ensure_future(dispatcher.remove(lane))
        await asyncio.sleep(0.01)
        works[-1].done.cancel()
        await works[0].done
        assert not removing.done()
        await works[1].done
        await asyncio.wait_for(removing, 1)
        await asyncio.wait_for(dispatcher.remove(other), 1)
        assert dispatcher.queued_tokens == 0


async def test_a_model_can_be_removed_from_a_dispatcher_that_has_stopped() -> None:
    async with dispatching(ArithmeticBackend(HIDDEN_SIZE, seconds=0.05), workers=1) as (
        dispatcher,
        lane,
    ):
        for _ in range(4):
            submit(dispatcher, lane, submission([[1] * 60]))
        await asyncio.sleep(0.01)
        removing = asyncio.ensure_future(dispatcher.remove(lane))
        await asyncio.sleep(0.01)
        await dispatcher.stop()
        await asyncio.wait_for(removing, 1)


async def test_what_is_alone_is_run_by_the_backend_for_that() -> None:
    beside, alone = GatedBackend(), GatedBackend()
    alone.gate.set()
    async with dispatching(beside, alone=alone) as (dispatcher, lane):
        work = submit(dispatcher, lane, submission([[1, 2], [3]]))
        await work.done
        assert (alone.shapes, beside.shapes) == ([(2, 2)], [])
        beside.gate.set()


async def test_with_others_running_or_waiting_a_worker_keeps_to_its_core() -> None:
    beside, alone = GatedBackend(), GatedBackend()
    async with dispatching(beside, alone=alone) as (dispatcher, lane):
        first = submit(dispatcher, lane, submission([[1]]))
        await taken(lane)  # alone, and held
        second = submit(dispatcher, lane, submission([[2]]))
        await taken(lane)
        beside.gate.set()
        await second.done
        alone.gate.set()
        await first.done
        assert (len(alone.shapes), len(beside.shapes)) == (1, 1)
        # more than a share for each of two workers: the first leaves some behind
        many = submit(dispatcher, lane, submission([[number] * 8 for number in range(1, 9)]))
        await many.done
    assert len(alone.shapes) == 1


async def test_a_lane_of_another_that_waits_counts_too() -> None:
    beside, alone = ArithmeticBackend(HIDDEN_SIZE), ArithmeticBackend(HIDDEN_SIZE)
    async with dispatching(beside, workers=1, alone=alone) as (dispatcher, lane):
        other = Lane(ArithmeticBackend(HIDDEN_SIZE), 64, COSTS)
        dispatcher.add(other)
        works = [
            submit(dispatcher, lane, submission([[1]])),
            submit(dispatcher, other, submission([[2]])),
        ]
        await asyncio.gather(*(work.done for work in works))
    assert (alone.shapes, beside.shapes) == ([], [(1, 1)])


@pytest.mark.parametrize("count", [1, 2])
async def test_what_fails_alone_is_run_by_the_other_backend(count: int) -> None:
    class Failing(ArithmeticBackend):
        def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
            raise RuntimeError("no")

    beside = ArithmeticBackend(HIDDEN_SIZE)
    sequences = [[number] for number in range(1, 1 + count)]
    async with dispatching(beside, alone=Failing(HIDDEN_SIZE)) as (dispatcher, lane):
        work = submit(dispatcher, lane, submission(sequences))
        await work.done
    assert work.results[0][:, 0].tolist() == [number for (number,) in sequences]
    assert beside.shapes == [(1, 1)] * count


async def test_a_run_alone_says_nothing_of_a_workers_speed() -> None:
    backend, alone = ArithmeticBackend(HIDDEN_SIZE), ArithmeticBackend(HIDDEN_SIZE)
    seen: list[Batch] = []
    observers = [lambda batch, started, seconds: seen.append(batch)]
    metrics = EncoderMetrics()
    dispatcher = Dispatcher(Batcher(64), 1, metrics, observers)
    for lane in (Lane(backend, 64, COSTS, alone), Lane(backend, 64, COSTS)):
        dispatcher.add(lane)
        dispatcher.start()
        await submit(dispatcher, lane, submission([[1]])).done
        await dispatcher.stop()
        dispatcher = Dispatcher(Batcher(64), 1, metrics, observers)
    assert len(seen) == 1
    assert metrics.registry.get_sample_value("triptych_encoder_sequences_total") == 2
