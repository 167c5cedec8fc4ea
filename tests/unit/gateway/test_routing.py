"""Who answers when a stage lacks a bundle."""

import asyncio
import contextlib
import time
from dataclasses import replace
from pathlib import Path

import pytest

from triptych_bundles.manifest import Head, HeadBundle, Trunk
from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.guard import Guard
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.models.metrics import RoutingMetrics
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.router import Router
from triptych_gateway.models.target import Target
from triptych_gateway.tasks import Origin, TextOptions
from triptych_servicekit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ModelNotLoaded,
    Overloaded,
    TriptychError,
    Unavailable,
)
from triptych_servicekit.metrics import Metrics

OLD, NEW = local_bundle("tiny", "1"), local_bundle("tiny", "2")
TRUNK = replace(NEW, outputs=("pooled.mean",))


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


class Stages:
    """Answers with the version that was asked, for the versions that are loaded."""

    def __init__(self, *loaded: str, seconds: float = 0.0) -> None:
        self.loaded = set(loaded)
        self.seconds = seconds
        self.asked: list[str] = []
        self.field = "model"

    async def __call__(self, target: Target) -> str:
        version = target.model.version
        self.asked.append(version)
        await asyncio.sleep(self.seconds)
        if version not in self.loaded:
            raise ModelNotLoaded("not here", field=self.field)
        return version


class Routing:
    """A router with its catalog, metrics and clock."""

    def __init__(self) -> None:
        self.clock = Clock()
        self.metrics = Metrics("gateway")
        rollout = Rollout(5, self.clock)
        self.catalog = Catalog([OLD, NEW], rollout=rollout)
        self.router = Router(rollout, RoutingMetrics(self.metrics))

    async def ask(self, stages: Stages, name: str = "tiny") -> str:
        return await self.router.run(self.catalog.resolve(name), stages)

    def counted(self, name: str, **labels: str) -> float:
        found = self.metrics.registry.get_sample_value(f"triptych_gateway_{name}_total", labels)
        return found or 0.0


@pytest.fixture
def routing() -> Routing:
    return Routing()


async def test_what_is_loaded_answers(routing: Routing) -> None:
    stages = Stages("1", "2")
    assert await routing.ask(stages) == "2"
    assert await routing.ask(stages, "tiny@1") == "1"
    assert stages.asked == ["2", "1"]
    assert routing.counted("model_requests", model="tiny@2", alias="") == 1
    assert routing.counted("fallbacks", model="tiny@2", cause="not_loaded") == 0


async def test_the_whole_request_goes_to_the_version_before(routing: Routing) -> None:
    stages = Stages("1")
    assert await routing.ask(stages) == "1"
    assert stages.asked == ["2", "1"]
    assert routing.counted("fallbacks", model="tiny@2", cause="not_loaded") == 1
    assert routing.counted("model_requests", model="tiny@1", alias="") == 1
    assert routing.counted("model_requests", model="tiny@2", alias="") == 0


async def test_others_go_there_at_once(routing: Routing) -> None:
    stages = Stages("1")
    resolved_before = routing.catalog.resolve("tiny")
    await routing.ask(stages)
    stages.asked.clear()
    assert [await routing.ask(stages) for _ in range(20)] == ["1"] * 20
    assert await routing.router.run(resolved_before, stages) == "1"
    assert stages.asked == ["1"] * 21
    assert routing.counted("fallbacks", model="tiny@2", cause="held_off") == 1


async def test_after_a_while_one_tries_again_and_all_follow(routing: Routing) -> None:
    stages = Stages("1", seconds=0.02)
    await routing.ask(stages)
    routing.clock.now += 5
    stages.asked.clear()
    assert await asyncio.gather(*(routing.ask(stages) for _ in range(10))) == ["1"] * 10
    assert stages.asked.count("2") == 1
    routing.clock.now += 5
    stages.loaded.add("2")
    found = await asyncio.gather(*(routing.ask(stages) for _ in range(10)))
    assert sorted(found) == ["1"] * 9 + ["2"]
    assert await routing.ask(stages) == "2"


async def test_a_trial_that_is_cancelled_leaves_the_next_one_free(routing: Routing) -> None:
    stages = Stages("1")
    await routing.ask(stages)
    routing.clock.now += 5
    stages.seconds = 60
    trying = asyncio.ensure_future(routing.ask(stages))
    await asyncio.sleep(0)
    trying.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await trying
    stages.seconds, stages.loaded = 0, {"1", "2"}
    assert await routing.ask(stages) == "2"


@pytest.mark.parametrize(("name", "asked"), [("tiny", ["2", "1"]), ("tiny@2", ["2"])])
async def test_where_nobody_has_it(routing: Routing, name: str, asked: list[str]) -> None:
    stages = Stages()
    with pytest.raises(Unavailable, match="tiny@2") as caught:
        await routing.ask(stages, name)
    assert (caught.value.reason, caught.value.field) == ("MODEL_NOT_LOADED", "model")
    assert caught.value.retry_after
    assert stages.asked == asked


async def test_when_the_version_before_has_left_the_new_one_is_asked_again(
    routing: Routing,
) -> None:
    stages = Stages("1")
    await routing.ask(stages)
    stages.loaded, stages.asked = {"2"}, []
    assert await routing.ask(stages) == "2"
    assert stages.asked == ["1", "2"]


async def test_a_head_that_is_missing_does_not_hold_its_model_off(routing: Routing) -> None:
    stages = Stages("1")
    stages.field = "tasks[0].head"
    assert await routing.ask(stages) == "1"
    assert routing.catalog.resolve("tiny").model is NEW


async def test_a_new_version_of_a_head_that_is_missing_costs_no_request() -> None:
    rollout = Rollout(5, clock := Clock())
    catalog = Catalog([TRUNK], [mood("1"), mood("2")], rollout=rollout)
    router, loaded, asked = Router(rollout), {"1"}, []

    async def ask(target: Target) -> str:
        version = catalog.find_head(target.model, "mood").version
        asked.append(version)
        if version not in loaded:
            raise ModelNotLoaded("not here", field="options.head")
        return version

    target = catalog.resolve("tiny")
    assert [await router.run(target, ask) for _ in range(3)] == ["1"] * 3
    assert asked == ["2", "1", "1", "1"]
    clock.now += 5
    loaded.add("2")
    assert [await router.run(target, ask) for _ in range(2)] == ["2"] * 2
    loaded.clear()
    asked.clear()
    with pytest.raises(Unavailable):
        await router.run(target, ask)
    assert asked == ["2", "1"]


def mood(version: str) -> HeadBundle:
    return HeadBundle(
        path=Path(),
        name="mood",
        version=version,
        digest=f"mood {version}",
        created=0,
        task="classify",
        files={},
        trunk=Trunk("tiny", TRUNK.base.weights_sha256),
        head=Head("pooled.mean", True, (), "", "", ("a", "b"), "regression"),
        hidden_size=4,
        licence="mit",
    )


@pytest.mark.parametrize(
    "error",
    [
        InvalidArgument("bad"),
        Overloaded("full"),
        Unavailable("gone"),
        DeadlineExceeded("late"),
        Internal("ours"),
    ],
)
async def test_other_errors_are_not_for_another_version(
    routing: Routing, error: TriptychError
) -> None:
    asked = []

    async def ask(target: Target) -> None:
        asked.append(target)
        raise error

    with pytest.raises(type(error)):
        await routing.router.run(routing.catalog.resolve("tiny"), ask)
    assert len(asked) == 1


async def test_what_the_version_before_cannot_do_is_not_the_requests_fault(
    routing: Routing,
) -> None:
    async def ask(target: Target) -> None:
        if target.model is OLD:
            raise InvalidArgument("prompt_name is unknown", field="prompt_name")
        raise ModelNotLoaded("not here")

    with pytest.raises(Unavailable) as caught:
        await routing.router.run(routing.catalog.resolve("tiny"), ask)
    assert caught.value.reason == "MODEL_NOT_LOADED"


async def test_each_link_of_a_chain_is_asked_once(routing: Routing) -> None:
    links = [replace(OLD, version=str(number), digest=str(number)) for number in range(4)]
    target = Target(links[0], fallback=Target(links[1], fallback=Target(links[2])))
    stages = Stages()
    with pytest.raises(Unavailable):
        await routing.router.run(target, stages)
    assert stages.asked == ["0", "1", "2"]


async def test_through_the_guard_the_answer_names_who_gave_it(routing: Routing) -> None:
    """As the edges ask, with a platform that refuses the new version."""
    guard = Guard(Lacking([OLD, NEW]), Bounds(10, 100), routing.router)
    target = routing.catalog.resolve("tiny")
    names, text = Names("inputs[{}]"), TextOptions()
    late = Origin(time.monotonic() - 1, "late")
    with pytest.raises(DeadlineExceeded):
        await guard.tokenize(target, ["ab"], names, text, late)
    origin = Origin(time.monotonic() + 60, "request")
    found = await guard.tokenize(target, ["ab", "c"], names, text, origin)
    assert found.model is OLD
    assert found.lengths.tolist() == [4, 3]


class Lacking(LocalPlatform):
    """Lacks the new version: a digest that no stage holds."""

    async def tokenize(self, model, *arguments):  # type: ignore[no-untyped-def]
        if model is NEW:
            raise ModelNotLoaded("not here", field="model")
        return await super().tokenize(model, *arguments)
