"""Two replicas of each stage share the work, and one of them may die under load."""

import asyncio
import time

import pytest

from tests.e2e.conftest import Report
from tests.e2e.engine import STAGES, Container, Project
from tests.e2e.metrics import calls, calls_by_replica
from tests.e2e.traffic import Load, steady

WARM_UP = 1.0
DURATION = 8.0
SETTLED = 2.0
# An encoder took 13 to 17 s on two slow cores that all replicas and the load shared.
RETURN_LIMIT = 30.0
PATIENCE = 60.0
INTERVAL = 0.25
LEAST_SHARE, GREATEST_SHARE = 0.4, 0.6


def replica(project: Project, stage: str, identifier: str) -> Container:
    """A container as it is now: a restart may give it another address."""
    return next(one for one in project.containers(stage) if one.id == identifier)


async def has_traffic(project: Project, stage: str, identifier: str, restarts: int) -> float:
    """Wait until a container was started again and has answered calls; the time it was."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        now = await asyncio.to_thread(replica, project, stage, identifier)
        if now.facts["RestartCount"] > restarts and await asyncio.to_thread(calls, now):
            return time.monotonic()
        await asyncio.sleep(INTERVAL)
    pytest.fail(f"{stage} got no traffic after its restart\n{project.compose('logs', stage)}")


async def test_every_replica_takes_its_share(scaled: Project, report: Report) -> None:
    replicas = scaled.containers(*STAGES)
    async with steady(Load(scaled.url("gateway", 8080))) as load:
        await asyncio.sleep(WARM_UP)
        before = await asyncio.to_thread(calls_by_replica, replicas)
        await asyncio.sleep(DURATION)
        after = await asyncio.to_thread(calls_by_replica, replicas)
    assert not load.failures()
    shares = {}
    for stage in STAGES:
        own = [after[one.id] - before[one.id] for one in replicas if one.service == stage]
        shares[stage] = [number / sum(own) for number in own]
    for stage, (first, second) in shares.items():
        report(f"{stage:<12} calls shared {first:.0%} to {second:.0%}")
    assert all(
        LEAST_SHARE <= share <= GREATEST_SHARE for pair in shares.values() for share in pair
    ), shares


@pytest.mark.parametrize("stage", STAGES)
async def test_a_replica_that_is_killed_fails_no_request_and_comes_back(
    stage: str, scaled: Project, report: Report
) -> None:
    victim = scaled.containers(stage)[0]
    async with steady(Load(scaled.url("gateway", 8080))) as load:
        await asyncio.sleep(WARM_UP)
        await asyncio.to_thread(victim.crash)
        killed = time.monotonic()
        restarts = victim.facts["RestartCount"]
        seconds = await has_traffic(scaled, stage, victim.id, restarts) - killed
        await asyncio.sleep(SETTLED)
    report(
        f"{stage:<12} killed: {len(load.requests)} requests, {len(load.failures())} failed,"
        f" traffic again after {seconds:.1f} s"
    )
    assert not load.failures()
    assert seconds <= RETURN_LIMIT
