"""Large requests are cut into parts that fit."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.cutting import cut, weight_of
from triptych_gateway.tasks import Pair, TokenIds

texts = st.lists(st.integers(1, 200).map("x".__mul__), max_size=60)


@given(texts, st.integers(1, 8), st.integers(50, 400))
def test_parts_are_the_whole_in_order_and_within_both_limits(
    inputs: list[str], most: int, weight: int
) -> None:
    parts = list(cut(inputs, most, weight))
    assert [item for part in parts for item in part] == inputs
    assert all(0 < len(part) <= most for part in parts)
    assert all(len(part) == 1 or weight_of(part) <= weight for part in parts)


@given(texts)
def test_parts_are_no_smaller_than_they_must_be(inputs: list[str]) -> None:
    parts = list(cut(inputs, 8, 400))
    for part, after in itertools.pairwise(parts):
        assert len(part) == 8 or weight_of([*part, after[0]]) > 400


def test_what_inputs_weigh() -> None:
    assert weight_of(["abcd", Pair("ab", "cd"), TokenIds([1, 2, 3, 4])]) == 3 * 20
