"""Whatever is shared, cancelled, late or poisoned: nothing is lost, and nothing done twice."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.encoder.dispatching import (
    HIDDEN_SIZE,
    dispatching,
    expected,
    submission,
    submit,
    until,
)
from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS
from triptych_encoder.entry import Submission
from triptych_servicekit.errors import DeadlineExceeded, Internal

POISON = 13
OUTPUTS = ("pooled.cls", "pooled.mean", LOGITS, TOKEN_LOGITS, HIDDEN)
TEXTS = ([1], [2, 3], [2, 3, 4], [5, 6, 7, 8], [9, POISON])


@dataclass(frozen=True, slots=True)
class Plan:
    """A call, and what its client does: `pause` before it, and before it cancels, if it does."""

    texts: tuple[int, ...]
    outputs: tuple[str, ...]
    priority: int
    expired: bool
    pause: int
    cancel_after: int | None


plans = st.builds(
    Plan,
    st.lists(st.integers(0, len(TEXTS) - 1), min_size=1, max_size=5).map(tuple),
    st.lists(st.sampled_from(OUTPUTS), min_size=1, max_size=3, unique=True).map(tuple),
    st.integers(1, 3),
    st.sampled_from((False, False, False, True)),
    st.integers(0, 3),
    st.sampled_from((None, None, None, 0, 1, 3)),
)


async def turns(count: int) -> None:
    """Let the dispatcher do something: nothing, a turn of the loop, or part of a run."""
    for _ in range(count):
        await asyncio.sleep(0 if count == 1 else 0.0004)


async def play(plans: Sequence[Plan]) -> list[Submission]:
    backend = ArithmeticBackend(HIDDEN_SIZE, seconds=0.001, poison=POISON)
    works, cancels = [], []

    async def cancel(work: Submission, after: int) -> None:
        await turns(after)
        work.done.cancel()

    async with dispatching(backend, workers=2, budget=8) as (dispatcher, lane):
        for plan in plans:
            await turns(plan.pause)
            work = submission([TEXTS[text] for text in plan.texts], plan.outputs)
            timeout = 0.0 if plan.expired else 60.0
            works.append(submit(dispatcher, lane, work, timeout, plan.priority))
            if plan.cancel_after is not None:
                cancels.append(asyncio.ensure_future(cancel(work, plan.cancel_after)))
        await asyncio.gather(*cancels)
        await asyncio.wait_for(
            asyncio.gather(*(work.done for work in works), return_exceptions=True), 20
        )
        # what only cancelled calls had asked for is dropped, or still runs
        await until(lambda: not dispatcher.queued_tokens)
        assert dispatcher.claimed_tokens == lane.joinable == len(lane.queue) == 0
        assert not dispatcher.broken()
    return works


def check(plan: Plan, work: Submission) -> None:
    assert work.unsettled == 0
    bad = {
        index: DeadlineExceeded if plan.expired else Internal
        for index, text in enumerate(plan.texts)
        if plan.expired or POISON in TEXTS[text]
    }
    assert {index: type(error) for index, error in work.errors.items()} == bad
    keep = np.array([index not in bad for index in range(len(plan.texts))])
    for output, result in zip(work.outputs, work.results, strict=True):
        rows = [
            row
            for index, text in enumerate(plan.texts)
            if index not in bad
            for row in expected(output.source, TEXTS[text])
        ]
        actual = result[output.rows.of(keep)]
        assert len(actual) == len(rows)
        np.testing.assert_allclose(actual.reshape(-1), np.ravel(rows), rtol=1e-6)


@settings(max_examples=60, deadline=None)
@given(st.lists(plans, min_size=1, max_size=12))
def test_every_claim_is_settled_once_with_its_own_rows(calls: list[Plan]) -> None:
    for plan, work in zip(calls, asyncio.run(play(calls)), strict=True):
        assert work.unsettled >= 0
        if not work.done.cancelled():
            check(plan, work)
