"""Batches for a backend that packs: full ones, of what has waited longest."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from tests.unit.encoder.test_batching import MAX_LENGTH, entries_of, filled
from triptych_encoder.batcher import Batcher
from triptych_encoder.cost import CostModel, PackedCostModel

BUDGET = 128
COSTS = PackedCostModel(16)

lengths_strategy = st.lists(st.integers(1, MAX_LENGTH), min_size=1, max_size=200)


@given(lengths_strategy)
def test_every_entry_leaves_once_in_the_order_it_came(lengths: list[int]) -> None:
    queue, order = filled(entries_of(lengths)), []
    while batch := Batcher(BUDGET).take(queue, COSTS):
        assert COSTS.area([entry.length for entry in batch]) <= BUDGET
        order += [entry.claims[0].index for entry in batch]
    assert order == list(range(len(lengths)))
    assert (queue.tokens, len(queue), queue.oldest()) == (0, 0, None)


@given(lengths_strategy)
def test_no_batch_leaves_room_for_the_next_entry(lengths: list[int]) -> None:
    queue, batches = filled(entries_of(lengths)), []
    while batch := Batcher(BUDGET).take(queue, COSTS):
        batches.append([entry.length for entry in batch])
    for batch_lengths, following in itertools.pairwise(batches):
        assert sum(batch_lengths) + following[0] > BUDGET


def test_a_longer_entry_than_the_budget_runs_alone() -> None:
    batch = Batcher(32).take(filled(entries_of([64, 8, 8])), COSTS)
    assert [entry.length for entry in batch] == [64]


def test_high_priority_goes_first() -> None:
    normal, high = entries_of([8, 8]), entries_of([8], priority=1)
    batch = Batcher(16).take(filled([*normal, *high]), COSTS)
    assert batch == [*high, normal[0]]


def test_a_batch_has_a_bounded_number_of_rows() -> None:
    queue = filled(entries_of([1] * (PackedCostModel.batch_ranges + 5)))
    sizes = [len(Batcher(0).take(queue, COSTS)) for _ in range(2)]
    assert sizes == [PackedCostModel.batch_ranges, 5]


def test_the_costs_say_how_large_a_batch_may_be() -> None:
    for costs in (CostModel(8), COSTS):
        queue = filled(entries_of([32] * 600))
        batch = Batcher(0).take(queue, costs)
        assert costs.area([entry.length for entry in batch]) == costs.batch_tokens


def test_a_packed_run_has_no_padding() -> None:
    assert PackedCostModel(0).area([3, 5, 64]) == 72
    assert CostModel(0).area([3, 5, 64]) == 192
