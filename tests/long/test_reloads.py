"""Hundreds of reloads under load: no failed request, no answer of two versions, flat memory.

Two contents of a head, and two of a trunk, take turns in place. What they answer differs visibly,
and every turn has a digest of its own, so that each is really loaded.
"""

import asyncio
import contextlib
import hashlib
import shutil
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.live import Workshop
from tests.long.residence import SERVICES, resident_mebibytes
from triptych_bundles import Bundle
from triptych_local.session import Session, running

HEAD_RELOADS = 500
TRUNK_RELOADS = 50
# Memory is looked at so many times while each of both is reloaded. The first third of the looks
# fills caches and arenas; what leaks lifts every later level, so the lowest is what is compared.
LOOKS = 15
GROWTH = 1.05
# A reload is two looks at the repository and one at every stage away; a busy machine takes longer.
PATIENCE = 60.0

TEXTS = ["the cat", "a dog 1", "the end.", "b"]
LABELS = ["even", "odd"]
SETTINGS = {
    "TRIPTYCH_MODELS_POLL_INTERVAL": "0.05",
    "TRIPTYCH_MODELS_DRAIN_TIMEOUT": "2",
    "TRIPTYCH_MODELS_HOLD_OFF": "0.1",
    "TRIPTYCH_REQUESTS_MAX_QUEUE_WAIT": "60",
}

WriteHead = Callable[..., Path]
Vectors = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Turns:
    """The repository, and the two contents of what changes in it."""

    workshop: Workshop
    write_head: WriteHead
    trunks: tuple[Bundle, Bundle]
    steady: Bundle

    def put_head(self, turn: int) -> None:
        """The head whose every answer is the turn's label and number."""
        logits = np.zeros(2, np.float32)
        logits[turn % 2] = turn + 1  # which tells the turn from every other
        kernel = np.zeros((self.steady.hidden_size, 2), np.float32)
        inputs = np.ones((1, self.steady.hidden_size), np.float32)
        shelf = self.workshop.repository / ".staging" / f"head-{turn}"
        trunk = {
            "name": self.steady.name,
            "weights_sha256": self.steady.base.weights_sha256,
        }
        made = self.write_head(
            shelf,
            [(kernel, logits, "none")],
            (inputs, logits[None]),
            {"labels": LABELS},
            trunk=trunk,
        )
        self._replace(made, "mood")

    def put_trunk(self, turn: int, known: dict[str, int]) -> str:
        """The turn's weights; the digest of the bundle, which is `known` before it is there."""
        staged = self.workshop.repository / ".staging" / f"trunk-{turn}"
        shutil.copytree(self.trunks[turn % 2].path, staged)
        manifest = staged / "bundle.yaml"
        manifest.write_bytes(manifest.read_bytes() + f"# turn {turn}\n".encode())
        digest = hashlib.sha256(manifest.read_bytes()).hexdigest()
        known[digest] = turn
        self._replace(staged, "changing")
        return digest

    def _replace(self, made: Path, name: str) -> None:
        target = self.workshop.repository / name / "1"
        target.parent.mkdir(exist_ok=True)
        self.workshop.remove(name, "1")
        made.rename(target)


@dataclass(slots=True)
class Answers:
    """What the load saw last, the turn of the head and the digest of the trunk, and how often."""

    turn: int = -1
    digest: str = ""
    count: int = 0
    turns: dict[str, int] = field(default_factory=dict)
    vectors: dict[int, Vectors] = field(default_factory=dict)

    def is_turn(self, turn: int) -> bool:
        """Whether the last classes came from the head of this turn."""
        return self.turn == turn

    def comes_from(self, digest: str) -> bool:
        """Whether the last vectors came from this bundle."""
        return self.digest == digest

    def check_classes(self, data: list[dict[str, Any]]) -> None:
        """All inputs of an answer have the label and the number of one turn."""
        best = {tuple(entry["labels"][0].values()) for entry in data}
        assert len(best) == 1, f"an answer of two versions: {best}"
        label, score = best.pop()
        assert label == LABELS[round(score - 1) % 2]
        self.turn = round(score - 1)

    def check_vectors(self, digest: str, data: list[dict[str, Any]]) -> None:
        """All vectors of an answer are those of the weights that its digest names."""
        rows = np.array([entry["embedding"] for entry in data])
        expected = self.vectors.setdefault(self.turns[digest] % 2, rows)
        cosines = (rows * expected).sum(axis=1)
        assert cosines.min() > 0.9999, f"an answer of two versions: {cosines}"
        self.digest = digest


@pytest.fixture(scope="module")
def workshop(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    made = Workshop(tmp_path_factory.mktemp("reloads"))
    (made.repository / ".staging").mkdir()
    return made


@pytest.fixture
def turns(workshop: Workshop, write_head_bundle: WriteHead) -> Turns:
    """A repository whose two trunks and head have had their first turn."""
    steady = workshop.install("steady", seed=7)
    trunks = workshop.make("changing", seed=7), workshop.make("changing", seed=8)
    made = Turns(workshop, write_head_bundle, trunks, steady)
    made.put_head(0)
    return made


@pytest.fixture
def platform(turns: Turns) -> Iterator[tuple[Session, Answers]]:
    answers = Answers()
    turns.put_trunk(0, answers.turns)
    with running(turns.workshop.repository, SETTINGS) as session:
        yield session, answers


async def ask(client: httpx.AsyncClient, route: str, **body: Any) -> dict[str, Any]:
    response = await client.post(f"/api/v1/{route}", json={"inputs": TEXTS, **body})
    assert response.status_code == 200, response.text
    answer: dict[str, Any] = response.json()
    return answer


async def one_of_each(client: httpx.AsyncClient, answers: Answers) -> None:
    """A request for the head, one for the trunk, and one for the head beside an embedding."""
    answers.check_classes((await ask(client, "classify", model="mood", raw_scores=True))["data"])
    embedded = await ask(client, "embed", model="changing")
    answers.check_vectors(embedded["model"]["digest"], embedded["data"])
    tasks = [{"type": "embed"}, {"type": "classify", "head": "mood", "raw_scores": True}]
    analyzed = await ask(client, "analyze", model="steady", tasks=tasks)
    answers.check_classes([entry["results"][1] for entry in analyzed["data"]])
    answers.count += 3


@contextlib.asynccontextmanager
async def under_load(url: str, answers: Answers) -> AsyncIterator[None]:
    """Requests of four clients without a pause; the first that fails ends the test."""
    stop = asyncio.Event()

    async def user() -> None:
        async with httpx.AsyncClient(base_url=url, timeout=60) as client:
            while not stop.is_set():
                await one_of_each(client, answers)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(user())
        try:
            yield
        finally:
            stop.set()


async def until(seen: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE
    while not seen():
        assert time.monotonic() < deadline, f"{what} was never answered with"
        await asyncio.sleep(0.01)


def turns_of(look: int, all_of_them: int) -> range:
    """The turns before a look; turn 0 was the first content."""
    return range(1 + look * all_of_them // LOOKS, 1 + (look + 1) * all_of_them // LOOKS)


async def reload_heads(turns: Turns, answers: Answers, look: int) -> None:
    for turn in turns_of(look, HEAD_RELOADS):
        await asyncio.to_thread(turns.put_head, turn)
        await until(partial(answers.is_turn, turn), f"head {turn}")


async def reload_trunks(turns: Turns, answers: Answers, look: int) -> None:
    for turn in turns_of(look, TRUNK_RELOADS):
        digest = await asyncio.to_thread(turns.put_trunk, turn, answers.turns)
        await until(partial(answers.comes_from, digest), f"trunk {turn}")


def check_memory(memory: list[dict[str, int]]) -> None:
    report = "\n".join(map(str, memory))
    print(f"resident MiB:\n{report}")
    for name in SERVICES:
        early = max(sizes[name] for sizes in memory[: LOOKS // 3])
        late = min(sizes[name] for sizes in memory[-LOOKS // 3 :])
        assert late <= early * GROWTH, report


@pytest.mark.timeout(900)
async def test_no_reload_is_felt(platform: tuple[Session, Answers], turns: Turns) -> None:
    session, answers = platform
    memory: list[dict[str, int]] = []
    started = time.monotonic()
    async with under_load(session.http_url, answers):
        await until(lambda: answers.count > 0, "the first content")
        for look in range(LOOKS):
            await reload_heads(turns, answers, look)
            await reload_trunks(turns, answers, look)
            memory.append(resident_mebibytes(session))
    seconds = time.monotonic() - started
    print(f"{HEAD_RELOADS} heads and {TRUNK_RELOADS} trunks reloaded in {seconds:.0f} s")
    print(f"{answers.count} requests, none failed")
    check_memory(memory)
    assert all(service.restarts == 0 for service in session.state.services.values()), session.log
