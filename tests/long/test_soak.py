"""Minutes of load, good and bad, after which the platform is as it was."""

import asyncio
import json
import random
import re
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.long.residence import SERVICES, open_files, resident_mebibytes
from triptych_local.session import Session, running

MODEL = "all-minilm-l6-v2"
ROUNDS = 12
SECONDS = 9
# One level after one round says little: what an allocator keeps depends on what came last. A leak
# lifts every later level, so the lowest of the last third is held against the highest of the first,
# in which caches and arenas fill. Between the two lie five rounds or more of leaking.
THIRD = ROUNDS // 3
GROWTH = 1.10
MORE_FILES = 8
# What must be 0 when nothing is asked of a platform.
GAUGES = (
    "triptych_gateway_in_flight_requests",
    "triptych_gateway_pending_tokens",
    "triptych_tokenizer_in_flight_requests",
    "triptych_tokenizer_queued_characters",
    "triptych_encoder_in_flight_requests",
    "triptych_encoder_queued_tokens",
    "triptych_postprocess_in_flight_requests",
)


@pytest.fixture(scope="module")
def soaked(bundle_repository: Path) -> Iterator[Session]:
    """A platform of its own, which refuses nobody for the wait alone."""
    with running(bundle_repository, {"TRIPTYCH_REQUESTS_MAX_QUEUE_WAIT": "60"}) as session:
        yield session


async def good(client: httpx.AsyncClient, generator: random.Random) -> None:
    """Texts of all lengths, one or many a request."""
    texts = ["word " * generator.randint(1, 300) for _ in range(generator.choice([1, 1, 1, 16]))]
    answer = await client.post("/v1/embeddings", json={"model": MODEL, "input": texts})
    assert answer.status_code == 200, answer.text


async def bad(client: httpx.AsyncClient, generator: random.Random) -> None:
    """Requests that are refused, some after their whole body has been read."""
    body = generator.choice(
        [
            {"model": MODEL, "input": [[1000] * 20_000] * 30 + [[]]},
            {"model": MODEL, "input": [""]},
            {"model": "none", "input": ["x" * 60_000] * 20},
            {"model": MODEL, "input": "x" * 70_000},
        ]
    )
    answer = await client.post("/v1/embeddings", content=json.dumps(body))
    assert answer.status_code in (400, 404), answer.text


async def abandoned(client: httpx.AsyncClient, generator: random.Random) -> None:
    """Large requests whose client leaves: no two texts are equal, or they would share a pass."""
    texts = [f"{generator.random()} " + "word " * 200 for _ in range(generator.randint(50, 200))]
    with pytest.raises(httpx.TimeoutException):
        await client.post(
            "/v1/embeddings",
            json={"model": MODEL, "input": texts},
            timeout=httpx.Timeout(10, read=0.05),
        )


async def load(url: str, seed: int) -> None:
    """One round: some seconds of everything at once."""
    generator, until = random.Random(seed), time.monotonic() + SECONDS
    async with httpx.AsyncClient(base_url=url, timeout=60) as client:

        async def user() -> None:
            while time.monotonic() < until:
                kind = generator.choices([good, bad, abandoned], [8, 3, 1])[0]
                await kind(client, generator)

        await asyncio.gather(*(user() for _ in range(8)))


def busy(platform: Session) -> dict[str, float]:
    """Gauges that are not 0."""
    found = {}
    for name in SERVICES:
        text = httpx.get(f"{platform.operations_url(name)}/metrics", timeout=10).text
        for gauge in GAUGES:
            for value in re.findall(rf"^{gauge} (\S+)$", text, re.MULTILINE):
                if float(value):
                    found[gauge] = float(value)
    return found


def quiet(platform: Session) -> bool:
    """Wait until nothing is in progress any more."""
    deadline = time.monotonic() + 60
    while busy(platform) and time.monotonic() < deadline:
        time.sleep(0.2)
    return not busy(platform)


def risen(levels: list[dict[str, int]]) -> dict[str, tuple[int, int]]:
    """Of each service the highest level of the first rounds, and the lowest of the last."""
    return {
        name: (
            max(level[name] for level in levels[:THIRD]),
            min(level[name] for level in levels[-THIRD:]),
        )
        for name in SERVICES
    }


@pytest.mark.timeout(600)
async def test_the_platform_is_the_same_after_it(soaked: Session) -> None:
    memory, files = [], []
    for number in range(ROUNDS):
        await load(soaked.http_url, number)
        assert await asyncio.to_thread(quiet, soaked), busy(soaked)
        memory.append(resident_mebibytes(soaked))
        files.append(open_files(soaked))
    report = "\n".join(map(str, memory))
    print(f"resident MiB after each round:\n{report}")
    for name, (before, after) in risen(memory).items():
        assert after <= before * GROWTH, f"{name} grew\n{report}"
    for name, (before, after) in risen(files).items():
        assert after <= before + MORE_FILES, f"{name} keeps files open: {files}"
    assert all(service.restarts == 0 for service in soaked.state.services.values()), soaked.log
