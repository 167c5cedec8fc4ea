"""Shadows: asked, compared, counted, and nothing else."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from triptych_gateway.local_platform import local_bundle
from triptych_gateway.models.background import ranked
from triptych_gateway.models.comparing import same
from triptych_gateway.models.metrics import RoutingMetrics
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.router import Router
from triptych_gateway.models.shadow import Shadows
from triptych_gateway.models.target import Target
from triptych_gateway.tasks import Origin, Timing, Usage
from triptych_servicekit.errors import Internal, InvalidArgument, ModelNotLoaded, Overloaded
from triptych_servicekit.metrics import Metrics

OLD, NEW = local_bundle("tiny", "1"), local_bundle("tiny", "2")
TARGET = Target(OLD, shadow=Target(NEW))
Answers = dict[str, Any]


class Shadowing:
    """A router with shadows; `answers` by version, errors are raised."""

    def __init__(self, answers: Answers, limit: int = 4, seconds: float = 0.0) -> None:
        self.answers = answers
        self.seconds = seconds
        self.asked: list[tuple[str, int]] = []
        self.cancelled = 0
        self.metrics = Metrics("gateway")
        routing = RoutingMetrics(self.metrics)
        self.router = Router(Rollout(), routing, Shadows(limit, routing))

    async def ask(self, target: Target) -> Any:
        origin = ranked(Origin(time.monotonic() + 60, "request"))
        self.asked.append((target.model.version, origin.priority))
        answer = self.answers[target.model.version]
        if target.model is NEW:
            await self._wait()
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def _wait(self) -> None:
        try:
            await asyncio.sleep(self.seconds)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise

    async def run(self) -> Any:
        return await self.router.run(TARGET, self.ask)

    def counted(self, outcome: str) -> float:
        name = "triptych_gateway_shadow_requests_total"
        return self.metrics.registry.get_sample_value(name, {"outcome": outcome}) or 0.0

    async def outcome(self) -> str:
        """What a single request's shadow is counted as."""
        await self.run()
        end = time.monotonic() + 5
        while time.monotonic() < end:
            for outcome in ("same", "different", "failed", "dropped"):
                if self.counted(outcome):
                    return outcome
            await asyncio.sleep(0.005)
        pytest.fail("the shadow was not counted")


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        ("a", "same"),
        ("b", "different"),
        (Internal("broken"), "failed"),
        (InvalidArgument("not for me"), "failed"),
        (ValueError("a bug"), "failed"),
        (Overloaded("full"), "dropped"),
    ],
)
async def test_outcomes(answer: Any, outcome: str) -> None:
    shadowing = Shadowing({"1": "a", "2": answer})
    assert await shadowing.outcome() == outcome


async def test_the_answer_does_not_wait_and_the_shadow_goes_last() -> None:
    shadowing = Shadowing({"1": "a", "2": "b"}, seconds=60)
    assert await asyncio.wait_for(shadowing.run(), 1) == "a"
    assert shadowing.asked == [("1", 2)]
    await asyncio.sleep(0.05)
    assert shadowing.asked == [("1", 2), ("2", 3)]
    await shadowing.router.stop()


async def test_no_more_than_the_limit_at_a_time() -> None:
    shadowing = Shadowing({"1": "a", "2": "a"}, limit=2, seconds=0.1)
    assert [await shadowing.run() for _ in range(5)] == ["a"] * 5
    assert shadowing.counted("dropped") == 3
    await asyncio.sleep(0.3)
    assert shadowing.counted("same") == 2
    await shadowing.run()
    assert shadowing.counted("dropped") == 3
    await shadowing.router.stop()


async def test_stopping_ends_them() -> None:
    shadowing = Shadowing({"1": "a", "2": "a"}, seconds=60)
    await shadowing.run()
    await asyncio.sleep(0.05)
    await shadowing.router.stop()
    assert shadowing.cancelled == 1
    assert not shadowing.counted("same")


async def test_a_shadow_that_no_stage_holds_is_held_off() -> None:
    shadowing = Shadowing({"1": "a", "2": ModelNotLoaded("not here")})
    for _ in range(3):
        await shadowing.run()
        await asyncio.sleep(0.05)
    assert shadowing.counted("failed") == 3
    assert [version for version, _ in shadowing.asked] == ["1", "2", "1", "1"]


async def test_a_request_that_failed_has_no_shadow() -> None:
    shadowing = Shadowing({"1": Internal("broken"), "2": "a"})
    with pytest.raises(Internal):
        await shadowing.run()
    await asyncio.sleep(0.05)
    assert shadowing.asked == [("1", 2)]


@dataclass(frozen=True, slots=True)
class Vectors:
    """As an answer to an embed request."""

    rows: NDArray[Any]
    model: Any = OLD
    timing: Timing = field(default_factory=Timing)
    errors: dict[int, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Classes:
    """As classes of inputs."""

    label_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    labels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Entities:
    """As entities in texts."""

    item_index: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    label_id: NDArray[np.int32]
    score: NDArray[np.float32]
    labels: Sequence[str]


@dataclass(frozen=True, slots=True)
class Ranking:
    """As a ranking."""

    document_index: NDArray[np.int32]
    scores: NDArray[np.float32]
    errors: dict[int, Any] = field(default_factory=dict)


def ints(*numbers: int) -> NDArray[np.int32]:
    return np.array(numbers, np.int32)


def floats(*numbers: float) -> NDArray[np.float32]:
    return np.array(numbers, np.float32)


def near(cosine: float, dtype: str = "float32") -> NDArray[Any]:
    """Two rows, the second of which has this cosine to (127, 0)."""
    rows = np.array([[1, 0], [cosine, (1 - cosine**2) ** 0.5]]) * 127
    return rows.astype(dtype)


def classes(ids: list[list[int]], labels: Sequence[str], score: float = 0.9) -> Classes:
    made = np.array(ids, np.int32)
    return Classes(made, np.full(made.shape, score, np.float32), labels)


def entities(*spans: tuple[int, int, int, int], labels: str = "PL", score: float = 1) -> Entities:
    item, start, end, label = (ints(*column) for column in zip(*spans, strict=True))
    return Entities(item, start, end, label, floats(*[score] * len(spans)), labels)


EXACT = near(1.0)


@pytest.mark.parametrize(
    ("first", "second", "wanted"),
    [
        (Vectors(EXACT), Vectors(EXACT, NEW, Timing(9, 9, 9, 9)), True),
        (Vectors(EXACT), Vectors(near(0.9995)), True),
        (Vectors(EXACT), Vectors(near(0.998)), False),
        (Vectors(EXACT), Vectors(3 * near(0.9995)), True),
        (Vectors(near(1.0, "int8")), Vectors(near(0.9999, "int8")), True),
        (Vectors(near(1.0, "int8")), Vectors(near(0.9, "int8")), False),
        (Vectors(near(1.0, "float16")), Vectors(near(0.9999, "float16")), True),
        (Vectors(EXACT), Vectors(near(1.0, "float16")), False),
        (Vectors(EXACT), Vectors(EXACT[:1]), False),
        (Vectors(EXACT), Vectors(EXACT[:, :1]), False),
        (Vectors(EXACT[:0]), Vectors(EXACT[:0]), True),
        (Vectors(EXACT), Vectors(EXACT * np.nan), False),
        (Vectors(EXACT * 0), Vectors(EXACT * 0), True),
        (Vectors(EXACT), Vectors(EXACT * 0), False),
        (Vectors(EXACT), Vectors(EXACT, errors={0: InvalidArgument("x")}), False),
        (
            Vectors(EXACT, errors={0: InvalidArgument("x")}),
            Vectors(EXACT, errors={0: InvalidArgument("in other words")}),
            True,
        ),
        (
            Vectors(EXACT, errors={0: InvalidArgument("x")}),
            Vectors(EXACT, errors={0: Internal("x")}),
            False,
        ),
        (np.zeros((1, 48), np.uint8), np.zeros((1, 48), np.uint8), True),
        (np.zeros((1, 48), np.uint8), np.eye(1, 48, dtype=np.uint8), True),
        (np.zeros((1, 48), np.uint8), np.full((1, 48), 1, np.uint8), False),
        (floats(0.5), floats(0.505), True),
        (floats(0.5), floats(0.52), False),
        (floats(0.5), ints(0), False),
        (ints(1, 2), ints(1, 2), True),
        (ints(1, 2), ints(1, 3), False),
        (None, ints(1), False),
        (ints(1), None, False),
        ([Vectors(EXACT), "a"], [Vectors(near(0.9995)), "a"], True),
        ([Vectors(EXACT)], [Vectors(near(0.9))], False),
        ([1], [1, 2], False),
        (["a"], ["b"], False),
        (Usage(ints(1), ints(1)), Usage(ints(2), ints(2)), True),
        (classes([[0, 1], [1, 0]], "ab"), classes([[1, 0], [0, 1]], "ba", 0.5), True),
        (classes([[0, 1], [1, 0]], "ab"), classes([[0, 1], [0, 1]], "ab"), False),
        (classes([[0], [1]], "ab"), classes([[0, 1], [1, 0]], "ab"), True),
        (classes([[0]], "ab"), classes([[0], [0]], "ab"), False),
        (classes([[0]], "a", 3.1), classes([[0]], "b", 3.105), True),
        (classes([[0]], "a", 3.1), classes([[0]], "a", 3.2), False),
        (entities((0, 1, 4, 0)), entities((0, 1, 4, 0), score=0.2), True),
        (entities((0, 1, 4, 0)), entities((0, 1, 4, 1), labels="LP"), True),
        (entities((0, 1, 4, 0)), entities((0, 1, 4, 1)), False),
        (entities((0, 1, 4, 0)), entities((0, 1, 5, 0)), False),
        (entities((0, 1, 4, 0)), entities((0, 1, 4, 0), (1, 0, 2, 0)), False),
        (Ranking(ints(2, 0), floats(1, 0)), Ranking(ints(2, 1), floats(3, 2)), True),
        (Ranking(ints(2, 0), floats(1, 0)), Ranking(ints(0, 2), floats(1, 0)), False),
        (Ranking(ints(), floats()), Ranking(ints(), floats()), True),
        (Ranking(ints(2), floats(1)), Classes(ints(2), floats(1), "abc"), False),
    ],
)
def test_same(first: Any, second: Any, wanted: bool) -> None:
    assert same(first, second) is wanted
    assert same(second, first) is wanted


def test_a_comparison_leaves_the_answer_as_it_is() -> None:
    rows = near(1.0)
    same(Vectors(rows), Vectors(rows.copy()))
    np.testing.assert_array_equal(rows, near(1.0))
