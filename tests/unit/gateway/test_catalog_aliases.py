"""What an alias gives a request: by weight, by caller, and what stands in."""

import itertools
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from triptych_bundles.aliases import Alias, AliasShadow, AliasTarget
from triptych_bundles.manifest import Bundle
from triptych_gateway.local_platform import local_bundle
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.models.choosing import choose, point_of
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.target import Target
from triptych_servicekit.errors import NotFound

BUNDLES = [local_bundle("tiny", version) for version in ("1", "2", "3")]
DRAWS = 5000
WEIGHTS = st.lists(st.integers(1, 1000), min_size=1, max_size=16)


def alias(*targets: tuple[str, int], shadow: AliasShadow | None = None) -> dict[str, Alias]:
    made = tuple(AliasTarget(model, weight) for model, weight in targets)
    return {"support": Alias("support", made, shadow)}


def evenly() -> Iterator[float]:
    """Numbers that lie evenly between 0 and 1, in no order."""
    return ((number * 0.6180339887) % 1 for number in itertools.count())


def catalog(aliases: dict[str, Alias], bundles: list[Bundle] = BUNDLES) -> Catalog:
    return Catalog(bundles, [], aliases, draw=evenly().__next__)


def chain(target: Target) -> list[str]:
    return [link.model.version for link in target.chain()]


def shares(versions: list[str]) -> dict[str, float]:
    return {version: versions.count(version) / len(versions) for version in set(versions)}


@given(weights=WEIGHTS)
def test_every_target_gets_its_weight(weights: list[int]) -> None:
    points = itertools.islice(evenly(), DRAWS)
    chosen = [choose(weights, point) for point in points]
    for index, weight in enumerate(weights):
        assert abs(chosen.count(index) / DRAWS - weight / sum(weights)) < 0.02


@given(weights=WEIGHTS)
def test_callers_are_spread_by_weight(weights: list[int]) -> None:
    # the points of these callers lie nowhere closer or wider than 0.0222 of what is even
    chosen = [choose(weights, point_of("support", f"caller {n}")) for n in range(DRAWS)]
    for index, weight in enumerate(weights):
        assert abs(chosen.count(index) / DRAWS - weight / sum(weights)) < 0.025


@given(weights=WEIGHTS, point=st.floats(0, 1, exclude_max=True))
def test_any_point_chooses_a_target(weights: list[int], point: float) -> None:
    assert 0 <= choose(weights, point) < len(weights)


def test_a_caller_always_gets_the_same() -> None:
    held = catalog(alias(("tiny@1", 50), ("tiny@2", 50)))
    callers = [f"tenant {number}" for number in range(200)]
    first = [held.resolve("support", key=caller).model.version for caller in callers]
    assert [held.resolve("support", key=caller).model.version for caller in callers] == first
    assert set(first) == {"1", "2"}


def test_a_canary_that_grows_keeps_its_callers() -> None:
    callers = [f"tenant {number}" for number in range(500)]
    had: set[str] = set()
    for weight in (5, 20, 60):
        held = catalog(alias(("tiny@1", 100 - weight), ("tiny@2", weight)))
        has = {one for one in callers if held.resolve("support", key=one).model.version == "2"}
        assert had <= has
        had = has


def test_without_a_caller_it_is_drawn_by_weight() -> None:
    held = catalog(alias(("tiny@1", 90), ("tiny@2", 10)))
    found = shares([held.resolve("support").model.version for _ in range(2000)])
    assert abs(found["2"] - 0.1) < 0.02


def test_the_weight_of_what_is_missing_goes_to_the_others() -> None:
    held = catalog(alias(("tiny@1", 30), ("tiny@9", 900), ("tiny@3", 70)))
    found = shares([held.resolve("support").model.version for _ in range(2000)])
    assert set(found) == {"1", "3"}
    assert abs(found["1"] - 0.3) < 0.02
    assert held.unserved() == ["alias support: tiny@9 is not there"]


def test_an_alias_of_nothing_is_not_found() -> None:
    with pytest.raises(NotFound, match="alias of models that do not exist") as caught:
        catalog(alias(("tiny@9", 1))).resolve("support")
    assert (caught.value.field, caught.value.reason) == ("model", "MODEL_NOT_FOUND")


def test_an_alias_has_no_versions() -> None:
    with pytest.raises(NotFound):
        catalog(alias(("tiny@1", 1))).resolve("support@1")


def test_the_other_targets_stand_in() -> None:
    held = catalog(alias(("tiny@1", 1), ("tiny@2", 9), ("tiny@3", 90)))
    chains = {tuple(chain(held.resolve("support"))) for _ in range(500)}
    assert chains == {("1", "3", "2"), ("2", "3", "1"), ("3", "2", "1")}
    assert held.resolve("support").alias == "support"


def test_what_an_alias_meant_before_stands_in() -> None:
    held = catalog(alias(("tiny@1", 1)))
    assert chain(held.resolve("support")) == ["1"]
    held.update(BUNDLES, [], alias(("tiny@3", 1)))
    held.update(BUNDLES, [], alias(("tiny@3", 1)))
    assert chain(held.resolve("support")) == ["3", "1"]
    held.update(BUNDLES, [], {})
    held.update(BUNDLES, [], alias(("tiny@3", 1)))
    assert chain(held.resolve("support")) == ["3"]


def test_a_target_that_is_held_off_gives_its_part_to_another() -> None:
    rollout = Rollout()
    aliases = alias(("tiny@1", 50), ("tiny@2", 50))
    held = Catalog(BUNDLES, [], aliases, rollout=rollout, draw=evenly().__next__)
    rollout.hold((BUNDLES[1].digest, ""))
    assert {tuple(chain(held.resolve("support"))) for _ in range(100)} == {("1", "2")}


@pytest.mark.parametrize(("share", "wanted"), [(0.0, 0.0), (0.1, 0.1), (1.0, 1.0)])
def test_a_shadow_gets_its_share(share: float, wanted: float) -> None:
    held = catalog(alias(("tiny@1", 1), shadow=AliasShadow("tiny@3", share)))
    found = [held.resolve("support").shadow for _ in range(2000)]
    asked = [shadow for shadow in found if shadow is not None]
    assert abs(len(asked) / 2000 - wanted) < 0.02
    assert {shadow.model.version for shadow in asked} <= {"3"}


@pytest.mark.parametrize("model", ["tiny@1", "tiny@9"])
def test_no_shadow_of_what_answers_or_is_missing(model: str) -> None:
    held = catalog(alias(("tiny@1", 1), shadow=AliasShadow(model)))
    assert held.resolve("support").shadow is None


def test_an_alias_with_the_name_of_a_bundle_leaves_those_before() -> None:
    held = catalog(alias(("tiny@1", 1)))
    bad = alias(("tiny@2", 1)) | {"tiny": Alias("tiny", (AliasTarget("tiny@1"),))}
    held.update(BUNDLES, [], bad)
    assert held.resolve("support").model.version == "1"
    assert list(held.aliases()) == ["support"]
    late = replace(BUNDLES[0], name="support")
    held.update([late, *BUNDLES], [], alias(("tiny@2", 1)))
    assert held.resolve("support").model.version == "1"
