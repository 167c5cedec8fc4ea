"""Stages are stopped and killed under load, and no client sees an error."""

import asyncio
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from triptych_local.session import Session, running

STAGES = ("tokenizer", "encoder", "postprocess")
CLIENTS = 16


@pytest.fixture(scope="module")
def own_platform(bundle_repository: Path) -> Iterator[Session]:
    """A platform that nothing else is tested against."""
    with running(bundle_repository) as session:
        yield session


async def load(url: str, until: asyncio.Event) -> list[int]:
    """Status codes of requests that CLIENTS clients send one after the other."""
    codes: list[int] = []

    async def client(number: int, session: httpx.AsyncClient) -> None:
        while not until.is_set():
            body = {"model": "all-minilm-l6-v2", "input": f"client {number} " + "word " * number}
            codes.append((await session.post("/v1/embeddings", json=body)).status_code)

    async with httpx.AsyncClient(base_url=url, timeout=60) as session:
        await asyncio.gather(*(client(number, session) for number in range(CLIENTS)))
    return codes


async def answered_while(platform: Session, stage: str, number: signal.Signals) -> list[int]:
    """Codes of a load during which a stage gets a signal and comes back."""
    until = asyncio.Event()
    loading = asyncio.ensure_future(load(platform.http_url, until))
    await asyncio.sleep(1)
    before = platform.pid(stage)
    os.kill(before, number)
    await back(platform, stage, before)
    await asyncio.sleep(1)
    until.set()
    return await loading


async def back(platform: Session, stage: str, before: int) -> None:
    """Wait until the supervisor has started the stage anew and it is ready."""
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient() as client:
        while time.monotonic() < deadline:
            pid = platform.state.services[stage].pid
            if pid not in (None, before):
                try:
                    url = f"{platform.operations_url(stage)}/readyz"
                    if (await client.get(url)).status_code == 200:
                        return
                except httpx.TransportError:
                    pass
            await asyncio.sleep(0.1)
    pytest.fail(f"{stage} did not come back\n{platform.log}")


@pytest.mark.parametrize("stage", STAGES)
async def test_a_stopped_stage_costs_no_request(own_platform: Session, stage: str) -> None:
    codes = await answered_while(own_platform, stage, signal.SIGTERM)
    assert len(codes) > CLIENTS
    assert set(codes) == {200}


@pytest.mark.parametrize("stage", STAGES)
async def test_a_killed_stage_costs_no_request(own_platform: Session, stage: str) -> None:
    codes = await answered_while(own_platform, stage, signal.SIGKILL)
    assert len(codes) > CLIENTS
    assert set(codes) == {200}
