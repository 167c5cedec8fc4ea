"""Inputs on their way through the stages, of one request or of several."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_bundles.manifest import TOKEN_LOGITS_OUTPUT
from triptych_gateway.chunk import Chunk
from triptych_gateway.entries import Entry
from triptych_gateway.tasks import Origin
from triptych_gateway.work import AnswerResult, EncodeResult, Errors, StageTime, TokenizeResult
from triptych_servicekit.errors import InvalidArgument

ORIGIN = Origin(time.monotonic() + 600, "test")
BAD = InvalidArgument("bad")


def ints(*values: int) -> Any:
    return np.array(values, np.int32)


def entry(count: int) -> Entry[Any, Any]:
    made = Entry[Any, Any](None, None, 1, ((ORIGIN, count),))
    made.sent = made.submitted
    return made


def times(count: int) -> list[StageTime]:
    return [StageTime(0.25, float(index)) for index in range(count)]


def tokenized(total: int, bad: Sequence[int], callers: int) -> TokenizeResult:
    """Input i is i + 1 tokens of the id i."""
    good = [index for index in range(total) if index not in bad]
    ids = [index for index in good for _ in range(index + 1)]
    lengths = [index + 1 for index in good]
    tokens = ints(*range(1, total + 1))
    zeros = np.zeros(len(ids), np.int32)
    places = np.stack([zeros, zeros], axis=1)
    return TokenizeResult(
        ints(*ids), ints(*lengths), None, places, zeros, zeros, tokens, tokens,
        dict.fromkeys(bad, BAD), times(callers),
    )  # fmt: skip


def encoded(chunk: Chunk, bad: Sequence[int]) -> EncodeResult:
    """The id of each sequence, and of each of its tokens; `bad` are places among the sequences."""
    starts = np.cumsum(chunk.sequences.lengths) - chunk.sequences.lengths
    alive = [place for place in range(len(starts)) if place not in bad]
    rows = chunk.sequences.input_ids[starts][alive].astype(np.float32).reshape(-1, 1)
    tokens = np.repeat(rows, chunk.sequences.lengths[alive], axis=0)
    errors: Errors = dict.fromkeys(bad, BAD)
    return EncodeResult((rows, tokens), errors, times(len(chunk.callers)))


async def test_tokens_of_a_prompt_are_special_and_those_without_a_width_are_not() -> None:
    # <s> prompt: New, a space of its own, York </s>
    tokens = TokenizeResult(
        input_ids=ints(0, 7, 8, 9, 10, 2),
        lengths=ints(6),
        token_type_ids=None,
        offsets=ints(0, 0, 0, 0, 0, 3, 4, 4, 5, 9, 0, 0).reshape(6, 2),
        word_ids=ints(-1, -1, 0, 1, 2, -1),
        special_tokens_mask=ints(1, 0, 0, 0, 0, 1),
        total_tokens=ints(6),
        kept_tokens=ints(6),
        errors={},
        times=times(1),
    )
    chunk = Chunk.of([entry(1)], tokens)
    chunk.keep_layout(tokens)
    assert chunk.layout is not None
    assert chunk.layout.special_tokens_mask.tolist() == [1, 1, 0, 0, 0, 1]


@st.composite
def cohorts(draw: st.DrawFn) -> tuple[list[int], set[int], set[int], set[int]]:
    """Inputs of each request; and which of all inputs each stage in turn fails."""
    counts = draw(st.lists(st.integers(1, 4), min_size=1, max_size=6))
    some = st.sets(st.integers(0, sum(counts) - 1))
    first, second, third = draw(some), draw(some), draw(some)
    return counts, first, second - first, third - second - first


@given(cohorts(), st.booleans())
def test_every_request_gets_its_own(
    cohort: tuple[list[int], set[int], set[int], set[int]], answers: bool
) -> None:
    asyncio.run(_every_request_gets_its_own(*cohort, answers))


async def _every_request_gets_its_own(
    counts: list[int], first: set[int], second: set[int], third: set[int], answers: bool
) -> None:
    total = sum(counts)
    tokens = tokenized(total, sorted(first), len(counts))
    chunk = Chunk.of([entry(count) for count in counts], tokens)
    chunk.keep_layout(tokens)
    alive = [index for index in range(total) if index not in first]
    outputs = encoded(chunk, [alive.index(index) for index in sorted(second)])
    chunk.take_outputs(("pooled.mean", TOKEN_LOGITS_OUTPUT), outputs, 0.5)
    failed = first | second
    if answers:
        alive = [index for index in alive if index not in second]
        rows = np.array([index for index in alive if index not in third], np.float32)
        errors: Errors = {alive.index(index): BAD for index in third}
        chunk.take_answer(AnswerResult([rows.reshape(-1, 1)], errors, times(len(counts))), 0.5)
        failed |= third
    start = 0
    for number, (count, part) in enumerate(zip(counts, chunk.split(), strict=True)):
        own = range(start, start + count)
        good = [index for index in own if index not in failed]
        assert part.size == count
        assert sorted(part.errors) == [index - start for index in own if index in failed]
        assert part.usage.total_tokens.tolist() == [index + 1 for index in own]
        assert part.spent().kept_tokens.tolist() == [
            0 if index in failed else index + 1 for index in own
        ]
        assert part.timing.encode == part.timing.tokenize == number
        assert _rows(part, answers) == good
        if not answers:
            assert part.arrays[1][:, 0].tolist() == [i for i in good for _ in range(i + 1)]
            assert part.layout is not None
            assert part.layout.lengths.tolist() == [index + 1 for index in good]
        start += count


def _rows(part: Chunk, answers: bool) -> list[float]:
    if not answers:
        return part.arrays[0][:, 0].tolist()  # type: ignore[no-any-return]
    assert part.results is not None
    (rows,) = part.results
    assert isinstance(rows, np.ndarray)
    return rows[:, 0].tolist()  # type: ignore[no-any-return]


@pytest.mark.parametrize("gone", [[0], [1], [0, 2]])
async def test_nothing_is_computed_for_those_that_have_left(gone: list[int]) -> None:
    counts = [2, 1, 3]
    tokens = tokenized(6, [3], len(counts))
    chunk = Chunk.of([entry(count) for count in counts], tokens)
    chunk.keep_layout(tokens)
    chunk.leave(gone)
    stay = {0: [0, 1], 1: [2], 2: [4, 5]}
    left = [index for caller in stay if caller not in gone for index in stay[caller]]
    assert chunk.sequences.lengths.tolist() == [index + 1 for index in left]
    assert chunk.sequences.input_ids.tolist() == [i for i in left for _ in range(i + 1)]
    assert chunk.layout is not None
    assert chunk.layout.lengths.tolist() == chunk.sequences.lengths.tolist()
    assert [count for _, count in chunk.living()] == [
        0 if caller in gone else len(stay[caller]) for caller in stay
    ]
