"""The queue and the batcher: nothing lost, nothing doubled, nobody starves, no limit exceeded."""

import asyncio
import time
from collections.abc import Sequence

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from triptych_encoder.batcher import MIN_SHARE_CALLS, Batcher
from triptych_encoder.cost import CostModel
from triptych_encoder.entry import PRIORITY_DELAY, Entry, Submission
from triptych_encoder.outputs import Output, SequenceRows
from triptych_encoder.queue import LengthQueue
from triptych_servicekit.callers import Caller

MAX_LENGTH = 64
BUDGET = 128
COSTS = CostModel(16)

lengths_strategy = st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=200)


def entries_of(lengths: Sequence[int], priority: int = 2, arrived: float = 0.0) -> list[Entry]:
    async def build() -> list[Entry]:
        array = np.array(lengths, np.int32)
        ids = np.ones(int(array.sum()), np.int32)
        output = Output("pooled.mean", SequenceRows(len(lengths)), 4, np.dtype(np.float32))
        submission = Submission(ids, None, array, [output], arrived)
        caller = Caller(0, len(lengths), time.monotonic() + 60, priority)
        return list(submission.entries([caller]))

    return asyncio.run(build())


def filled(entries: Sequence[Entry]) -> LengthQueue:
    queue = LengthQueue(MAX_LENGTH)
    for entry in entries:
        queue.add(entry)
    return queue


class CountingQueue(LengthQueue):
    """Counts the entries that are taken out."""

    removals = 0

    def _remove(self, entry: Entry) -> None:
        self.removals += 1
        super()._remove(entry)


def area(batch: Sequence[Entry]) -> int:
    return len(batch) * max(entry.length for entry in batch)


@given(lengths_strategy)
def test_every_entry_leaves_exactly_once(lengths: list[int]) -> None:
    entries = entries_of(lengths)
    queue, batcher, taken = filled(entries), Batcher(BUDGET), []
    while batch := batcher.take(queue, COSTS):
        taken += batch
    assert sorted(entry.claims[0].index for entry in taken) == list(range(len(lengths)))
    assert queue.tokens == 0
    assert len(queue) == 0
    assert queue.oldest() is None


@given(lengths_strategy, st.integers(1, 4))
def test_a_batch_never_exceeds_the_budget(lengths: list[int], idle: int) -> None:
    queue, batcher = filled(entries_of(lengths)), Batcher(BUDGET)
    while batch := batcher.take(queue, COSTS, idle):
        assert len(batch) == 1 or area(batch) <= BUDGET


@given(lengths_strategy)
def test_the_oldest_is_in_every_batch(lengths: list[int]) -> None:
    queue, batcher = filled(entries_of(lengths)), Batcher(BUDGET)
    while oldest := queue.oldest():
        assert batcher.take(queue, COSTS)[0] is oldest


def test_equal_lengths_share_a_run_without_padding() -> None:
    batch = Batcher(BUDGET).take(filled(entries_of([16] * 20)), COSTS)
    assert [entry.length for entry in batch] == [16] * 8


def test_a_short_anchor_does_not_run_alone_when_longer_ones_wait() -> None:
    batch = Batcher(BUDGET).take(filled(entries_of([10, 12, 12, 12, 12])), COSTS)
    assert len(batch) == 5


def test_a_short_anchor_is_not_padded_to_the_longest() -> None:
    batch = Batcher(BUDGET).take(filled(entries_of([4, 4, 4, 4, 60, 60])), COSTS)
    assert [entry.length for entry in batch] == [4, 4, 4, 4]


def test_an_entry_longer_than_the_budget_runs_alone() -> None:
    batch = Batcher(32).take(filled(entries_of([64, 8, 8])), COSTS)
    assert [entry.length for entry in batch] == [64]


def test_idle_workers_share_a_small_queue() -> None:
    for idle, taken in ((1, 8), (2, 4), (3, 2)):
        queue = filled(entries_of([32] * 8))
        assert len(Batcher(512).take(queue, COSTS, idle_workers=idle)) == taken


def test_what_is_hardly_worth_a_call_is_not_shared() -> None:
    worth = MIN_SHARE_CALLS * int(COSTS.call_tokens)
    queue = filled(entries_of([4] * (worth // 4)))
    assert len(Batcher(512).take(queue, COSTS, idle_workers=8)) == worth // 4


def test_high_priority_overtakes_and_low_never_starves() -> None:
    low = entries_of([8], priority=3, arrived=0.0)
    soon = entries_of([8], priority=1, arrived=PRIORITY_DELAY[3] - 0.1)
    late = entries_of([8], priority=1, arrived=PRIORITY_DELAY[3] + 0.1)
    queue = filled([*low, *soon, *late])
    batcher = Batcher(8)
    order = [batcher.take(queue, COSTS)[0] for _ in range(3)]
    assert order == [soon[0], low[0], late[0]]


def test_a_promoted_entry_overtakes_and_leaves_once() -> None:
    low = entries_of([8, 8], priority=3, arrived=0.0)
    normal = entries_of([8], priority=2, arrived=1.0)
    queue, batcher = filled([*low, *normal]), Batcher(8)
    queue.promote(low[1], priority=1, due=1.0)
    order = [batcher.take(queue, COSTS)[0] for _ in range(3)]
    assert order == [low[1], normal[0], low[0]]
    assert batcher.take(queue, COSTS) == []
    assert queue.tokens == 0


def test_mixed_lengths_are_batched_with_little_padding() -> None:
    rng = np.random.default_rng(7)
    lengths = np.clip(rng.lognormal(3.6, 0.8, 320), 5, MAX_LENGTH).astype(int).tolist()
    queue, batcher, padded = filled(entries_of(lengths)), Batcher(512), 0
    while batch := batcher.take(queue, COSTS):
        padded += area(batch)
    assert sum(lengths) / padded > 0.95


def test_a_batch_of_a_hundred_thousand_is_as_quick_as_one_of_a_thousand() -> None:
    """Counted, not timed: of a long queue no more is looked at than of a short one."""
    rng = np.random.default_rng(7)
    looked_at = []
    for count in (1_000, 100_000):
        lengths = rng.integers(1, MAX_LENGTH + 1, count).tolist()
        queue = CountingQueue(MAX_LENGTH)
        for entry in entries_of(lengths):
            queue.add(entry)
        batches = [Batcher(BUDGET).take(queue, COSTS) for _ in range(50)]
        looked_at.append(queue.removals)
        assert queue.removals == sum(map(len, batches))
    assert looked_at[1] <= 2 * looked_at[0]
