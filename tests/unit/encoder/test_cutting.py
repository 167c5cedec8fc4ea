"""The cut of a queue into calls, held against every cut there is."""

import itertools
import math
from collections import Counter
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_encoder.cutting import Run, call_around

LONGEST = 24
BUDGET = 48
CALL = 6.0


def counts_of(lengths: Sequence[int]) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    return np.bincount(lengths, minlength=LONGEST + 1)


def cost(call: Sequence[int]) -> float:
    """Of the lengths of a call; one that is over the budget is none."""
    area = len(call) * max(call)
    return area + CALL if len(call) == 1 or area <= BUDGET else math.inf


def cheapest(lengths: Sequence[int]) -> float:
    """Of all cuts of the sorted lengths."""
    ordered, gaps = sorted(lengths), range(1, len(lengths))
    cuts = itertools.chain.from_iterable(
        itertools.combinations(gaps, count) for count in range(len(lengths))
    )
    return min(
        sum(cost(ordered[start:end]) for start, end in itertools.pairwise((0, *cut, len(ordered))))
        for cut in cuts
    )


def serve(lengths: Sequence[int]) -> float:
    """Cost of all calls where each holds the next sequence, in the order of `lengths`."""
    waiting, total = list(lengths), 0.0
    while waiting:
        call = _flat(call_around(counts_of(waiting), waiting[0], BUDGET, CALL))
        for length in call:
            waiting.remove(length)
        total += cost(call)
    return total


def _flat(runs: Sequence[Run]) -> list[int]:
    return [length for length, rows in runs for _ in range(rows)]


@given(st.lists(st.integers(1, LONGEST), min_size=1, max_size=60), st.data())
def test_a_call_holds_its_anchor_and_only_what_waits(
    lengths: list[int], data: st.DataObject
) -> None:
    anchor = data.draw(st.sampled_from(lengths))
    call = _flat(call_around(counts_of(lengths), anchor, BUDGET, CALL))
    assert anchor in call
    assert not Counter(call) - Counter(lengths)
    assert cost(call) < math.inf


@given(st.lists(st.integers(8, LONGEST), min_size=1, max_size=6, unique=True))
def test_few_sequences_are_cut_as_cheaply_as_can_be(lengths: list[int]) -> None:
    # within a budget of one another, so that all of them are each other's neighbours
    near = [length for length in lengths if sum(lengths) <= BUDGET] or lengths[:2]
    assert serve(near) == pytest.approx(cheapest(near))


@given(st.lists(st.integers(1, LONGEST), min_size=1, max_size=9))
def test_any_queue_is_cut_almost_as_cheaply_as_can_be(lengths: list[int]) -> None:
    # calls are chosen one by one, and equal lengths are not divided: a third more at the worst
    assert serve(lengths) <= cheapest(lengths) * 4 / 3


def test_equal_sequences_fill_a_call() -> None:
    assert call_around(counts_of([12] * 9 + [11, 13]), 12, BUDGET, CALL) == [(12, 4)]


def test_what_fills_calls_of_its_own_is_not_padded() -> None:
    # four of 12 tokens fill a call; the fifth is left for the one of 11
    runs = call_around(counts_of([11] + [12] * 5), 11, BUDGET, CALL)
    assert runs == [(11, 1), (12, 1)]


def test_a_dear_call_is_worth_padding_and_a_cheap_one_is_not() -> None:
    counts = counts_of([4, 10])
    assert call_around(counts, 4, BUDGET, call_tokens=7) == [(4, 1), (10, 1)]
    assert call_around(counts, 4, BUDGET, call_tokens=5) == [(4, 1)]
