"""Requests that go through the stages together, against stages in memory."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_gateway.cohorts import LEAST, Cohorts
from triptych_gateway.entries import Entry, Window
from triptych_gateway.gather import Suspected
from triptych_gateway.models.background import background
from triptych_gateway.tasks import Origin
from triptych_servicekit.errors import InvalidArgument, Overloaded, Unavailable

Entries = Sequence[Entry[Any, Any]]


@dataclass
class MemoryStages:
    """Answers with the work itself, once `gate` is open; a `poison` in company is suspected."""

    gate: asyncio.Event = field(default_factory=asyncio.Event)
    tokenizing: asyncio.Event | None = None
    answering: asyncio.Event | None = None
    error: Exception | None = None
    poison: Any = None
    seen: list[list[Any]] = field(default_factory=list)
    alone: list[Any] = field(default_factory=list)
    encoding: int = 0
    peak: int = 0
    weight: int = 0
    heaviest: int = 0
    cancelled: int = 0

    async def tokenize(self, call: Any, entries: Entries, alone: bool) -> list[Any]:
        works = [entry.work for entry in entries]
        assert {entry.call for entry in entries} == {call}
        self.seen.append(works)
        if alone:
            self.alone += works
        if self.tokenizing:
            await self.tokenizing.wait()
        return works

    async def encode(self, call: Any, entries: Entries, chunk: Any, alone: bool) -> None:
        weight = sum(entry.weight for entry in entries)
        self.encoding += 1
        self.weight += weight
        self.peak, self.heaviest = max(self.peak, self.encoding), max(self.heaviest, self.weight)
        try:
            await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.encoding -= 1
            self.weight -= weight
        if self.error:
            raise self.error
        if self.poison in chunk:
            raise Unavailable("dead") if len(chunk) == 1 else Suspected("dead")

    async def answer(self, entries: Entries, chunk: Any, alone: bool) -> Sequence[Any]:
        if self.answering:
            await self.answering.wait()
        return chunk  # type: ignore[no-any-return]


def cohorts(stages: MemoryStages, calls: int = 1, full: int = 100, replicas: int = 1) -> Cohorts:
    return Cohorts(stages, Window(calls, 3 * full, full), lambda: replicas)


async def settled() -> None:
    """Let everything happen that needs no time, and then what waits for quiet."""
    await asyncio.sleep(0.01)


def submit(to: Cohorts, work: Any, call: str = "", weight: int = 1) -> asyncio.Task[Any]:
    origin = Origin(time.monotonic() + 60, "request")
    return asyncio.create_task(to.submit(work, call, weight, 1, origin))


async def test_what_arrives_together_goes_together() -> None:
    stages = MemoryStages()
    stages.gate.set()
    to = cohorts(stages)
    assert await asyncio.gather(*(submit(to, n) for n in range(5))) == [0, 1, 2, 3, 4]
    assert stages.seen == [[0, 1, 2, 3, 4]]
    assert to.pending_weight == 0


async def test_what_comes_meanwhile_is_the_next_cohort() -> None:
    stages = MemoryStages()
    to = cohorts(stages)
    first = submit(to, "first")
    await settled()
    others = [submit(to, n, weight=7) for n in range(3)]
    await settled()
    assert stages.seen == [["first"]]
    assert to.pending_weight == 21
    stages.gate.set()
    await asyncio.gather(first, *others)
    assert stages.seen == [["first"], [0, 1, 2]]


async def test_cohorts_are_equal_shares() -> None:
    stages = MemoryStages()
    to = cohorts(stages, calls=2, full=10 * LEAST)
    first = submit(to, "first", weight=LEAST)
    await settled()
    others = [submit(to, n, weight=LEAST) for n in range(8)]
    await settled()
    assert [len(works) for works in stages.seen] == [1, 3]  # two on their way, and one that waits
    stages.gate.set()
    await asyncio.gather(first, *others)
    # both came back at once, and with nothing on its way all that waits leaves
    assert [len(works) for works in stages.seen] == [1, 3, 5]


async def test_a_few_clients_go_as_one() -> None:
    stages = MemoryStages()
    stages.gate.set()
    to = Cohorts(stages, Window(3, 300, 100), lambda: 1, quiet=9, hold=9)

    async def client(number: int) -> None:
        for _ in range(3):
            await submit(to, number)
            for _ in range(number):  # a turn of the loop later than the client before it
                await asyncio.sleep(0)

    await asyncio.gather(*(client(number) for number in range(4)))
    assert [sorted(works) for works in stages.seen] == [[0, 1, 2, 3]] * 3


async def test_who_does_not_come_back_is_waited_for_no_longer() -> None:
    stages = MemoryStages()
    stages.gate.set()
    to = cohorts(stages, calls=3)
    await asyncio.gather(*(submit(to, number) for number in range(4)))
    assert await asyncio.wait_for(submit(to, "alone"), 5) == "alone"
    assert stages.seen == [[0, 1, 2, 3], ["alone"]]


async def test_one_leaves_when_the_one_before_it_is_tokenized() -> None:
    stages = MemoryStages(tokenizing=asyncio.Event())
    to = cohorts(stages, calls=4)
    first = submit(to, "first")
    await settled()
    second = submit(to, "second")
    await settled()
    assert stages.seen == [["first"]]
    stages.tokenizing.set()  # type: ignore[union-attr]
    await settled()
    assert stages.seen == [["first"], ["second"]]
    stages.gate.set()
    await asyncio.gather(first, second)


async def test_less_than_a_share_waits_for_those_that_may_come() -> None:
    stages = MemoryStages()
    to = cohorts(stages, calls=2)
    many = [submit(to, n) for n in range(9)]
    await settled()
    later = []
    for number in range(3):
        later.append(submit(to, f"later {number}"))
        await asyncio.sleep(0)
    assert [len(works) for works in stages.seen] == [9]
    await settled()
    assert [len(works) for works in stages.seen] == [9, 3]
    stages.gate.set()
    await asyncio.gather(*many, *later)


async def test_full_cohorts_go_beyond_the_calls_up_to_the_weight() -> None:
    stages = MemoryStages()
    to = cohorts(stages, full=10)
    first = submit(to, "first", weight=10)
    await settled()
    others = [submit(to, n, weight=5) for n in range(9)]
    await settled()
    assert stages.peak == 3
    assert stages.heaviest == 30
    stages.gate.set()
    assert await asyncio.gather(first, *others) == ["first", *range(9)]
    assert stages.heaviest <= 30


async def test_small_cohorts_keep_to_the_weight_too() -> None:
    stages = MemoryStages()
    to = cohorts(stages, calls=9, full=10)
    tasks = []
    for number in range(9):
        tasks.append(submit(to, number, weight=9))
        await settled()
    assert stages.heaviest == 27
    stages.gate.set()
    assert await asyncio.gather(*tasks) == list(range(9))
    assert stages.heaviest <= 30


async def test_what_is_answered_makes_room() -> None:
    stages = MemoryStages(answering=asyncio.Event())
    to = cohorts(stages, calls=3, full=10)
    stages.gate.set()
    answered = [submit(to, n, weight=10) for n in range(2)]
    await settled()
    stages.gate.clear()
    encoding = submit(to, "encoding", weight=10)
    await settled()
    waiting = submit(to, "waiting", weight=10)
    await settled()
    assert stages.seen[-1] == ["encoding"]
    stages.answering.set()  # type: ignore[union-attr]
    await settled()
    assert stages.seen[-1] == ["waiting"]
    stages.gate.set()
    await asyncio.gather(*answered, encoding, waiting)


async def test_each_replica_has_a_window_of_its_own() -> None:
    stages = MemoryStages()
    to = cohorts(stages, replicas=3)
    tasks = []
    for number in range(5):
        tasks.append(submit(to, number))
        await settled()
    assert stages.peak == 3
    stages.gate.set()
    await asyncio.gather(*tasks)


async def test_only_equal_calls_go_together() -> None:
    stages = MemoryStages()
    stages.gate.set()
    to = cohorts(stages, calls=2)
    await asyncio.gather(*(submit(to, n, call=str(n % 2)) for n in range(4)))
    assert sorted(stages.seen) == [[0, 2], [1, 3]]


async def test_who_has_left_is_not_sent() -> None:
    stages = MemoryStages()
    to = cohorts(stages)
    first = submit(to, "first")
    await settled()
    leaving, staying = submit(to, "leaving"), submit(to, "staying")
    await settled()
    leaving.cancel()
    await settled()
    stages.gate.set()
    await asyncio.gather(first, staying)
    assert stages.seen == [["first"], ["staying"]]


async def test_a_cohort_that_nobody_waits_for_is_cancelled() -> None:
    stages = MemoryStages()
    to = cohorts(stages)
    tasks = [submit(to, n) for n in range(2)]
    await settled()
    tasks[0].cancel()
    await settled()
    assert stages.cancelled == 0
    tasks[1].cancel()
    await settled()
    assert stages.cancelled == 1
    stages.gate.set()
    assert await submit(to, "next") == "next"


@pytest.mark.parametrize("error", [InvalidArgument("bad"), Overloaded("full", retry_after=1)])
async def test_everyone_gets_the_error_as_their_own(error: Exception) -> None:
    stages = MemoryStages(error=error)
    stages.gate.set()
    to = cohorts(stages)
    found = await asyncio.gather(*(submit(to, n) for n in range(2)), return_exceptions=True)
    assert [type(one) for one in found] == [type(error)] * 2
    assert len({id(one) for one in [error, *found]}) == 3
    assert len(stages.seen) == 1


async def test_what_is_broken_inside_is_not_told() -> None:
    stages = MemoryStages(error=RuntimeError("secret"))
    stages.gate.set()
    with pytest.raises(Exception, match=r"^internal error$"):
        await submit(cohorts(stages), 1)


async def test_what_kills_replicas_fails_alone() -> None:
    stages = MemoryStages(poison="poison")
    stages.gate.set()
    to = cohorts(stages)
    works = ["a", "poison", "b"]
    found = await asyncio.gather(*(submit(to, one) for one in works), return_exceptions=True)
    assert [found[0], found[2]] == ["a", "b"]
    assert isinstance(found[1], Unavailable)
    assert sorted(stages.alone) == ["a", "b", "poison"]


async def test_what_runs_in_the_background_goes_after_everything_else() -> None:
    stages = MemoryStages()
    to = cohorts(stages)
    first = submit(to, "first")
    await settled()
    with background():
        shadow = submit(to, "shadow", "b")
        await settled()
    later = submit(to, "later", "c")
    await settled()
    stages.gate.set()
    await asyncio.gather(first, shadow, later)
    assert stages.seen == [["first"], ["later"], ["shadow"]]


async def test_stopping_fails_what_waits_and_what_is_on_its_way() -> None:
    stages = MemoryStages()
    to = cohorts(stages)
    sent = submit(to, "sent")
    await settled()
    waiting = submit(to, "waiting")
    await settled()
    await to.stop()
    for task in (sent, waiting):
        with pytest.raises(Unavailable, match="stopping"):
            await task


@given(
    st.lists(st.tuples(st.integers(1, 12), st.sampled_from("ab"), st.integers(0, 3)), max_size=40),
    st.integers(1, 3),
    st.integers(1, 2),
)
def test_nothing_is_lost_and_nothing_is_doubled(
    work: list[tuple[int, str, int]], calls: int, replicas: int
) -> None:
    asyncio.run(_all_come_back(work, calls, replicas))


async def _all_come_back(work: list[tuple[int, str, int]], calls: int, replicas: int) -> None:
    stages = MemoryStages()
    to = cohorts(stages, calls, full=20, replicas=replicas)
    tasks = []
    for number, (weight, call, turns) in enumerate(work):
        tasks.append(submit(to, number, call, weight))
        for _ in range(turns):
            await asyncio.sleep(0)
    stages.gate.set()
    assert await asyncio.wait_for(asyncio.gather(*tasks), 10) == list(range(len(work)))
    assert sorted(one for works in stages.seen for one in works) == list(range(len(work)))
    assert stages.heaviest <= 3 * 20 * replicas
    assert to.pending_weight == 0
