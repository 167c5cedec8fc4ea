"""Equal sequences share one pass, of one call and of several."""

import asyncio
import threading

from tests.unit.encoder.dispatching import (
    HIDDEN_SIZE,
    block,
    dispatching,
    expected,
    submission,
    submit,
    until,
)
from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS
from triptych_encoder.entry import Submission
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.errors import DeadlineExceeded, Internal

POISON = 13


def gated() -> tuple[threading.Event, ArithmeticBackend]:
    """A backend whose runs wait until the event is set."""
    gate = threading.Event()
    return gate, ArithmeticBackend(HIDDEN_SIZE, poison=POISON, gate=gate)


async def test_one_call_computes_equal_sequences_once() -> None:
    backend, metrics = ArithmeticBackend(HIDDEN_SIZE), EncoderMetrics()
    async with dispatching(backend, workers=1, metrics=metrics) as (dispatcher, lane):
        work = submit(dispatcher, lane, submission([[1, 2], [3, 4], [1, 2], [1, 2]]))
        await work.done
        await until(lambda: not lane.joinable)
        assert dispatcher.claimed_tokens == 0
    assert sum(rows for rows, _ in backend.shapes) == 2
    assert work.results[0][:, 0].tolist() == [1.5, 3.5, 1.5, 1.5]
    exposed = metrics.expose().decode()
    assert "triptych_encoder_sequences_total 2.0" in exposed
    assert "triptych_encoder_shared_sequences_total 2.0" in exposed


async def test_several_calls_share_a_pass_and_each_gets_its_outputs() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        await block(dispatcher, lane, backend)
        vectors = submit(dispatcher, lane, submission([[1, 2], [5]], ("pooled.cls",)))
        labels = submit(dispatcher, lane, submission([[1, 2]], (LOGITS, TOKEN_LOGITS)))
        assert dispatcher.queued_tokens == 4
        assert dispatcher.claimed_tokens == 6
        gate.set()
        await asyncio.gather(vectors.done, labels.done)
    assert backend.shapes == [(1, 1), (2, 2)]
    assert vectors.results[0][:, 0].tolist() == [1, 5]
    assert labels.results[0].tolist() == expected(LOGITS, [1, 2])
    assert labels.results[1].tolist() == expected(TOKEN_LOGITS, [1, 2])
    assert vectors.batch_ids[0] == labels.batch_ids[0]


async def test_a_waiting_sequence_takes_more_outputs() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        await block(dispatcher, lane, backend)
        mean = submit(dispatcher, lane, submission([[8]]))
        hidden = submit(dispatcher, lane, submission([[8]], (HIDDEN,)))
        assert len(lane.queue) == 1
        gate.set()
        await asyncio.gather(mean.done, hidden.done)
    assert len(backend.shapes) == 2
    assert mean.results[0].tolist() == hidden.results[0].tolist() == expected(HIDDEN, [8])


async def test_a_running_sequence_is_joined_where_it_gives_all_that_is_asked() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        first = submit(dispatcher, lane, submission([[1, 2]], ("pooled.cls", LOGITS)))
        await until(lambda: bool(backend.shapes))
        late = submit(dispatcher, lane, submission([[1, 2]], (LOGITS,)))
        more = submit(dispatcher, lane, submission([[1, 2]], (LOGITS, HIDDEN)))
        again = submit(dispatcher, lane, submission([[1, 2]], ("pooled.mean",)))
        gate.set()
        await asyncio.gather(*(work.done for work in (first, late, more, again)))
        assert lane.joinable == 0
    assert len(backend.shapes) == 2
    assert late.batch_ids == first.batch_ids
    assert more.batch_ids == again.batch_ids != first.batch_ids
    assert late.results[0].tolist() == expected(LOGITS, [1, 2])
    assert more.results[1].tolist() == expected(HIDDEN, [1, 2])
    assert late.run_seconds[0] < first.run_seconds[0]
    assert late.queue_seconds[0] == 0


async def test_token_types_tell_sequences_apart() -> None:
    backend = ArithmeticBackend(HIDDEN_SIZE)
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        works = [
            submit(dispatcher, lane, submission([[1, 2], [1, 2]], token_types=types))
            for types in (None, [[0, 0], [0, 1]], [[1, 0], [0, 0]])
        ]
        # as many ids as ids and types together
        works.append(submit(dispatcher, lane, submission([[1, 2, 0, 1]])))
        await asyncio.gather(*(work.done for work in works))
    assert sum(rows for rows, _ in backend.shapes) == 4


def place(work: Submission, index: int = 0) -> int:
    """When its batch was made, counted in batches."""
    return int(work.batch_ids[index].rpartition("-")[2])


async def test_a_more_urgent_claim_hurries_the_entry() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1, budget=16) as (dispatcher, lane):
        await block(dispatcher, lane, backend)
        bulk = submit(dispatcher, lane, submission([[3] * 16, [4] * 16]), priority=3)
        normal = submit(dispatcher, lane, submission([[5] * 16]))
        urgent = submit(dispatcher, lane, submission([[4] * 16]), priority=1)
        gate.set()
        await asyncio.gather(*(work.done for work in (bulk, normal, urgent)))
    assert len(backend.shapes) == 4
    assert place(urgent) == place(bulk, 1) < place(normal) < place(bulk, 0)


async def test_a_less_urgent_claim_rides_along() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1, budget=16) as (dispatcher, lane):
        await block(dispatcher, lane, backend)
        urgent = submit(dispatcher, lane, submission([[3] * 16, [4] * 16]), priority=1)
        bulk = submit(dispatcher, lane, submission([[4] * 16, [5] * 16]), priority=3)
        gate.set()
        await asyncio.gather(urgent.done, bulk.done)
    assert place(urgent, 0) < place(urgent, 1) == place(bulk, 0) < place(bulk, 1)


async def test_cancelled_and_expired_claims_go_alone() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        await block(dispatcher, lane, backend)
        cancelled = submit(dispatcher, lane, submission([[7, 7], [8, 8, 8]]))
        expired = submit(dispatcher, lane, submission([[7, 7]]), timeout=0.01)
        waiting = submit(dispatcher, lane, submission([[7, 7]]))
        late = submit(dispatcher, lane, submission([[2]]), timeout=0)
        cancelled.done.cancel()
        await asyncio.sleep(0.02)
        gate.set()
        await asyncio.gather(expired.done, waiting.done, late.done)
        await until(lambda: not lane.joinable)
        assert dispatcher.claimed_tokens == 0
    assert isinstance(expired.errors[0], DeadlineExceeded)
    assert isinstance(late.errors[0], DeadlineExceeded)
    assert not waiting.errors
    assert backend.shapes == [(1, 1), (1, 2)]


async def test_a_poisoned_sequence_fails_for_all_who_share_it_and_nobody_else() -> None:
    gate, backend = gated()
    async with dispatching(backend, workers=1) as (dispatcher, lane):
        await block(dispatcher, lane, backend)
        works = [submit(dispatcher, lane, submission([[2, POISON], [3, 4]])) for _ in range(3)]
        gate.set()
        await asyncio.gather(*(work.done for work in works))
        again = submit(dispatcher, lane, submission([[3, 4], [2, POISON]]))
        await again.done
        await until(lambda: not lane.joinable)
        assert dispatcher.claimed_tokens == 0
    assert [list(work.errors) for work in works] == [[0]] * 3
    assert all(isinstance(work.errors[0], Internal) for work in works)
    assert all(work.results[0][1, 0] == 3.5 for work in works)
    assert list(again.errors) == [1]
