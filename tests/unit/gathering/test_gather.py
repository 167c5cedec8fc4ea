"""Gathering and retrying, against replicas that answer from memory."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from triptych_gateway.entries import Entry, Window
from triptych_gateway.gather import ALONE_DELAY, Gatherer, Suspected
from triptych_gateway.retries import RetryBudget
from triptych_gateway.tasks import Origin
from triptych_gateway.telemetry import GatewayMetrics
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, Overloaded, Unavailable


@dataclass(eq=False)
class MemoryReplica:
    """Answers with the work itself, once `gate` is open; dies of `poison`, and `deaths` times of
    anything.
    """

    gate: asyncio.Event | None = None
    seconds: float = 0.0
    poison: Any = None
    deaths: int = 0
    lacks_model: bool = False
    serving: bool = True
    calls: int = 0
    weight: int = 0
    turn: int = 0
    seen: list[list[Any]] = field(default_factory=list)
    cancelled: int = 0
    peak: int = 0

    async def answer(self, works: list[Any]) -> list[Any]:
        self.seen.append(works)
        self.peak = max(self.peak, self.calls)
        try:
            if self.gate:
                await self.gate.wait()
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        if self.lacks_model:
            raise ModelNotLoaded("not here")
        if self.deaths or self.poison in works:
            self.deaths = max(0, self.deaths - 1)
            raise Unavailable("dead")
        return works


@dataclass(eq=False)
class MemoryPool:
    """A suspect serves again at once, as a replica that a supervisor restarts."""

    replicas: list[MemoryReplica]
    suspects: list[MemoryReplica] = field(default_factory=list)

    def serving(self) -> Sequence[MemoryReplica]:
        return [replica for replica in self.replicas if replica.serving]

    def suspect(self, replica: MemoryReplica) -> None:
        self.suspects.append(replica)


@dataclass(frozen=True)
class MemoryCall:
    """The stage call of equal `options`."""

    options: str = ""

    async def __call__(
        self, replica: MemoryReplica, entries: Sequence[Entry[Any, Any]]
    ) -> Sequence[Any]:
        return await replica.answer([entry.work for entry in entries])


def gatherer(
    *replicas: MemoryReplica,
    calls: int = 1,
    call_weight: int = 100,
    reserve: int = 100,
    budget: RetryBudget | None = None,
) -> Gatherer:
    window = Window(calls, calls * call_weight, call_weight)
    metrics = GatewayMetrics().stage("encoder")
    budget = budget or RetryBudget(0.1, reserve)
    return Gatherer(MemoryPool(list(replicas)), window, budget, metrics)


def origin() -> Origin:
    return Origin(time.monotonic() + 60, "request")


async def settled() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


async def submit(
    to: Gatherer, work: Any, options: str = "", weight: int = 1, priority: int = 2
) -> Any:
    callers = [(replace(origin(), priority=priority), 1)]
    result, held = await to.submit(work, MemoryCall(options), weight, callers)
    assert held >= 0
    return result


async def test_what_arrives_together_goes_together() -> None:
    replica = MemoryReplica()
    gather = gatherer(replica)
    assert await asyncio.gather(*(submit(gather, n) for n in range(5))) == [0, 1, 2, 3, 4]
    assert replica.seen == [[0, 1, 2, 3, 4]]


async def test_what_waits_for_room_shares_the_next_call() -> None:
    gate = asyncio.Event()
    replica = MemoryReplica(gate)
    gather = gatherer(replica)
    first = asyncio.ensure_future(submit(gather, "first"))
    await settled()
    rest = [asyncio.ensure_future(submit(gather, n)) for n in range(3)]
    await settled()
    rest.append(asyncio.ensure_future(submit(gather, 3)))
    await settled()
    gate.set()
    await asyncio.gather(first, *rest)
    assert replica.seen == [["first"], [0, 1, 2, 3]]


async def test_only_equal_calls_are_gathered() -> None:
    replica = MemoryReplica()
    gather = gatherer(replica)
    await asyncio.gather(*(submit(gather, n, options="ab"[n % 2]) for n in range(4)))
    assert sorted(replica.seen) == [[0, 2], [1, 3]]


async def test_window_and_call_size_hold() -> None:
    replica = MemoryReplica(seconds=0.01)
    gather = gatherer(replica, calls=2, call_weight=10)
    await asyncio.gather(*(submit(gather, n, weight=3) for n in range(20)))
    assert max(len(works) for works in replica.seen) == 3
    assert replica.peak == 2
    assert replica.calls == replica.weight == 0


async def test_work_larger_than_a_call_still_goes() -> None:
    assert await submit(gatherer(MemoryReplica(), call_weight=10), "large", weight=50) == "large"


async def test_replicas_share_the_calls() -> None:
    replicas = [MemoryReplica(seconds=0.01), MemoryReplica(seconds=0.01)]
    gather = gatherer(*replicas, call_weight=1)
    await asyncio.gather(*(submit(gather, n) for n in range(20)))
    assert [len(replica.seen) for replica in replicas] == [10, 10]


async def test_idle_replicas_take_turns() -> None:
    replicas = [MemoryReplica(), MemoryReplica()]
    gather = gatherer(*replicas)
    for number in range(10):
        await submit(gather, number)
    assert [len(replica.seen) for replica in replicas] == [5, 5]


async def test_cancelled_work_is_not_sent() -> None:
    gate = asyncio.Event()
    replica = MemoryReplica(gate)
    gather = gatherer(replica)
    first = asyncio.ensure_future(submit(gather, "first"))
    await settled()
    dropped = asyncio.ensure_future(submit(gather, "dropped"))
    kept = asyncio.ensure_future(submit(gather, "kept"))
    await settled()
    dropped.cancel()
    gate.set()
    await asyncio.gather(first, kept)
    assert replica.seen == [["first"], ["kept"]]


async def test_a_call_that_nobody_waits_for_is_cancelled() -> None:
    replica = MemoryReplica(seconds=5)
    gather = gatherer(replica)
    waiting = [asyncio.ensure_future(submit(gather, n)) for n in range(2)]
    await settled()
    waiting[0].cancel()
    await settled()
    assert replica.cancelled == 0
    waiting[1].cancel()
    await settled()
    assert replica.cancelled == 1
    assert replica.calls == 0


async def test_a_dead_replica_costs_one_retry_elsewhere() -> None:
    dying, other = MemoryReplica(deaths=1), MemoryReplica()
    gather = gatherer(dying, other, calls=4)
    assert await asyncio.gather(*(submit(gather, n) for n in range(3))) == [0, 1, 2]
    assert dying.seen == other.seen == [[0, 1, 2]]


async def test_an_item_that_kills_replicas_fails_alone() -> None:
    replicas = [MemoryReplica(poison=13), MemoryReplica(poison=13)]
    gather = gatherer(*replicas, calls=4)
    works = [11, 12, 13, 14]
    results = await asyncio.gather(*(submit(gather, n) for n in works), return_exceptions=True)
    assert [results[0], results[1], results[3]] == [11, 12, 14]
    assert isinstance(results[2], Unavailable)


async def test_suspects_run_while_nothing_else_does() -> None:
    replica = MemoryReplica(poison=13, seconds=0.005)
    gather = gatherer(replica, calls=8)
    suspects = asyncio.gather(*(submit(gather, n) for n in (12, 13)), return_exceptions=True)
    innocents = []
    for number in range(100, 160):
        innocents.append(asyncio.ensure_future(submit(gather, number)))
        await asyncio.sleep(0.001)
    assert await asyncio.gather(*innocents) == list(range(100, 160))
    results = await suspects
    assert results[0] == 12
    assert isinstance(results[1], Unavailable)


async def test_without_budget_nothing_is_retried() -> None:
    dying, other = MemoryReplica(deaths=5), MemoryReplica()
    gather = gatherer(dying, other, reserve=0)
    with pytest.raises(Unavailable):
        await submit(gather, 1)
    assert other.seen == []


async def test_a_missing_model_is_tried_on_one_other_replica() -> None:
    lacking, other = MemoryReplica(lacks_model=True), MemoryReplica()
    assert await submit(gatherer(lacking, other), 1) == 1
    assert (len(lacking.seen), len(other.seen)) == (1, 1)


@pytest.mark.parametrize("replicas", [1, 2, 3])
async def test_a_model_that_is_missing_twice_is_missing(replicas: int) -> None:
    lacking = [MemoryReplica(lacks_model=True) for _ in range(replicas)]
    with pytest.raises(ModelNotLoaded):
        await submit(gatherer(*lacking), 1)
    assert sum(len(replica.seen) for replica in lacking) == min(replicas, 2)


async def test_missing_models_leave_the_budget_alone() -> None:
    lacking, other = MemoryReplica(lacks_model=True), MemoryReplica()
    budget = RetryBudget(0.0, 1)
    gather = gatherer(lacking, other, budget=budget)
    assert await asyncio.gather(*(submit(gather, n, options=str(n)) for n in range(5)))
    assert lacking.seen
    lacking.lacks_model, lacking.deaths = False, 1
    assert [await submit(gather, n) for n in range(2)] == [0, 1]
    assert not budget.withdraw()


async def test_a_full_replica_is_waited_for_rather_than_asking_the_lacking_one_again() -> None:
    lacking, other = MemoryReplica(lacks_model=True, seconds=0.001), MemoryReplica(seconds=0.05)
    gather = gatherer(lacking, other)
    busy = [asyncio.ensure_future(submit(gather, n, options=str(n))) for n in range(2)]
    assert await asyncio.gather(*busy) == [0, 1]
    assert len(lacking.seen) == 1


async def test_a_replica_that_dies_and_another_that_lacks_the_model() -> None:
    dying, lacking = MemoryReplica(deaths=1), MemoryReplica(lacks_model=True)
    with pytest.raises(ModelNotLoaded):
        await submit(gatherer(dying, lacking), 1)


async def test_what_has_a_low_priority_goes_after_everything_else() -> None:
    gate = asyncio.Event()
    replica = MemoryReplica(gate)
    gather = gatherer(replica)
    first = asyncio.ensure_future(submit(gather, "first"))
    await settled()
    low = asyncio.ensure_future(submit(gather, "low", "b", priority=3))
    await settled()
    later = asyncio.ensure_future(submit(gather, "later", "c"))
    await settled()
    gate.set()
    await asyncio.gather(first, low, later)
    assert replica.seen == [["first"], ["later"], ["low"]]


async def test_what_is_tried_alone_waits_until_it_is_known_who_serves() -> None:
    first, second = MemoryReplica(deaths=1), MemoryReplica(deaths=1)
    began = time.monotonic()
    assert await submit(gatherer(first, second), "late") == "late"
    assert time.monotonic() - began >= ALONE_DELAY


async def test_work_of_several_callers_that_kills_replicas_is_suspected() -> None:
    dying, other = MemoryReplica(deaths=1), MemoryReplica(deaths=1)
    gather = gatherer(dying, other)
    together = gather.submit("both", MemoryCall(), 1, [(origin(), 1), (origin(), 1)])
    with pytest.raises(Suspected):
        await together
    assert dying.seen == other.seen == [["both"]]


async def test_work_goes_alone_where_it_is_asked_to() -> None:
    replica = MemoryReplica(seconds=0.01)
    gather = gatherer(replica, calls=5)
    others = [asyncio.ensure_future(submit(gather, n, str(n))) for n in range(3)]
    alone = gather.submit("alone", MemoryCall(), 1, [(origin(), 1)], alone=True)
    results = await asyncio.gather(alone, *others)
    assert results[0][0] == "alone"
    assert ["alone"] in replica.seen


@pytest.mark.parametrize("error", [InvalidArgument("bad"), Overloaded("full", retry_after=1)])
async def test_other_errors_are_not_retried(error: Exception) -> None:
    @dataclass(frozen=True)
    class Refusing:
        async def __call__(self, replica: Any, entries: Sequence[Any]) -> Sequence[Any]:
            raise error

    with pytest.raises(type(error)):
        await gatherer(MemoryReplica()).submit(1, Refusing(), 1, [(origin(), 1)])


async def test_work_is_held_until_a_replica_serves() -> None:
    replica = MemoryReplica(serving=False)
    gather = gatherer(replica)
    waiting = asyncio.ensure_future(submit(gather, 1))
    await settled()
    assert not waiting.done()
    replica.serving = True
    gather.wake()
    assert await waiting == 1


async def test_held_work_can_be_failed() -> None:
    gather = gatherer(MemoryReplica(serving=False))
    waiting = asyncio.ensure_future(submit(gather, 1))
    await settled()
    gather.fail_waiting(Unavailable("gone"))
    with pytest.raises(Unavailable, match="gone"):
        await waiting


async def test_stopping_fails_what_is_in_flight() -> None:
    gather = gatherer(MemoryReplica(seconds=5))
    sent = asyncio.ensure_future(submit(gather, 1))
    await settled()
    await gather.stop()
    with pytest.raises(Unavailable):
        await asyncio.wait_for(sent, 1)
