"""What is known of windows before texts are tokenized, and portions of them afterwards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.cutting import LEAST_WEIGHT, MOST_CHARACTERS_PER_TOKEN, weight_of
from triptych_gateway.local_bundles import local_bundle, local_tagger
from triptych_gateway.plan import Plan
from triptych_gateway.tasks import (
    EmbedOptions,
    Pair,
    TagOptions,
    TextOptions,
    TokenIds,
    WindowOptions,
)
from triptych_gateway.windowing import Tally, Windowing, portions
from triptych_servicekit.errors import InvalidArgument

MODEL = local_bundle(max_length=256)
PLAN = Plan.of(MODEL, [EmbedOptions()])
TEXT = TextOptions()


def windows(tokens: int, room: int, stride: int) -> int:
    """How many there are, one after the other."""
    count, end = 1, room
    while end < tokens:
        count, end = count + 1, end + room - stride
    return count


def test_defaults() -> None:
    assert Windowing.of(PLAN, TEXT, WindowOptions()) == Windowing(256, 32, 1024)
    short = Windowing.of(PLAN, TextOptions(max_length=16), WindowOptions(max_windows=9))
    assert short == Windowing(16, 2, 9)
    assert Windowing.of(PLAN, TEXT, WindowOptions(0)).stride == 0
    told = short.text(TextOptions(max_length=16, layout=True))
    assert (told.max_length, told.windows, told.layout) == (16, WindowOptions(2, 9), True)


def test_windows_of_an_input_fit_a_call_of_postprocess() -> None:
    long = local_bundle(max_length=8192)
    assert Windowing.of(Plan.of(long, [EmbedOptions()]), TEXT, WindowOptions(0, 1024)).most == 32
    tagger = local_tagger()
    plan = Plan.of(tagger, [TagOptions()])
    most = Windowing.of(plan, TEXT, WindowOptions(0, 10**6)).most
    assert most * tagger.max_length <= 262_144
    assert most * plan.numbers() <= 4 * 1024 * 1024


lengths = st.tuples(st.integers(5, 64), st.integers(0, 70)).map(
    lambda drawn: Windowing(drawn[0], min(drawn[1], drawn[0] - 5), 1024)
)


@given(lengths, st.integers(1, 3000), st.integers(0, 4), st.integers(0, 4))
def test_no_text_has_more_windows_than_were_foreseen(
    windowing: Windowing, tokens: int, special: int, per_character: int
) -> None:
    room = windowing.length - special
    most = min(1024, windows(tokens, room, windowing.stride))
    assert windowing.at_most(TokenIds(range(tokens))) >= most
    characters = -(-tokens // max(1, per_character))
    assert windowing.at_most("x" * characters) >= most
    assert windowing.at_most(Pair("x" * 999, "y" * 999)) == 1


@given(
    lengths,
    st.lists(st.integers(1, 400).map(lambda size: "x" * size), min_size=1, max_size=20),
    st.integers(16, 2000),
)
def test_parts_have_all_inputs_and_keep_to_their_bounds(
    windowing: Windowing, inputs: list[str], weight: int
) -> None:
    parts = list(windowing.cut(inputs, weight))
    assert [item for part in parts for item in part] == inputs
    for part in parts:
        if len(part) > 1:
            assert weight_of(part) <= weight
            assert sum(map(windowing.at_most, part)) <= windowing.most


def test_a_full_call_of_the_tokenizer_makes_no_more_tokens_than_it_may() -> None:
    greedy = Windowing(64, 59, 1024)
    inputs = ["x" * 2000] * 3
    tokens = sum(map(greedy.at_most, inputs)) * greedy.length
    assert greedy.weight(inputs) * MOST_CHARACTERS_PER_TOKEN + 15 >= tokens
    assert Windowing(256, 32, 1024).weight(inputs) == weight_of(inputs)


@given(
    st.lists(st.integers(1, 300), min_size=1, max_size=60), st.integers(1, 10**5),
    st.integers(16, 2048),
)  # fmt: skip
def test_portions_have_all_windows_and_weigh_no_more_than_full(
    sizes: list[int], numbers: int, full: int
) -> None:
    made = list(portions(np.array(sizes, np.int32), numbers, full))
    rows = [row for portion in made for row in range(portion.run.start, portion.run.stop)]
    assert rows == list(range(len(sizes)))
    for portion in made:
        own = sizes[portion.run]
        assert portion.weight == sum(max(LEAST_WEIGHT, numbers // 1024, size) for size in own)
        assert portion.weight <= full or len(own) == 1


def test_the_windows_of_a_request_are_counted() -> None:
    tally = Tally(10)
    tally.add(4)
    tally.add(6)
    with pytest.raises(InvalidArgument, match="more than 10 windows") as refused:
        tally.add(1)
    assert (refused.value.reason, refused.value.field) == ("TOO_MANY_WINDOWS", "inputs")
    Tally(0).add(10**9)
