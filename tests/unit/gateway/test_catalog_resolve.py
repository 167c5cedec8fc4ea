"""Which bundle a name, a version, a digest or a head means."""

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from triptych_bundles.manifest import Bundle, Dense, Head, HeadBundle, Trunk
from triptych_gateway.local_platform import local_bundle
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.models.departures import Departures
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.target import Target
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound


class Clock:
    """Seconds that pass when they are told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def model(name: str, version: str = "1", weights: str = "w", content: str = "") -> Bundle:
    made = local_bundle(name, version)
    digest = f"{name}@{version}{content}".encode().hex().ljust(64, "0")
    base = replace(made.base, weights_sha256=weights)
    return replace(made, digest=digest, base=base, outputs=("pooled.mean",))


def head(name: str, version: str = "1", weights: str = "w", trunk: str = "tiny") -> HeadBundle:
    layers = (Dense("out", "none"),)
    return HeadBundle(
        path=Path(),
        name=name,
        version=version,
        digest=f"head {name}@{version}".encode().hex().ljust(64, "1"),
        created=0,
        task="classify",
        files={},
        trunk=Trunk(trunk, weights),
        head=Head(
            input="pooled.mean",
            normalized=True,
            layers=layers,
            weights="",
            golden="",
            labels=("no", "yes"),
            problem_type="single_label_classification",
        ),
        hidden_size=4,
        licence="mit",
    )


TINY_1, TINY_2, TINY_10 = (model("tiny", version) for version in ("1", "2", "10"))
OTHER = model("other", weights="v")
MOOD_1, MOOD_2 = head("mood"), head("mood", "2")
LOST = head("lost", weights="z", trunk="gone")


def catalog(*models: Bundle, heads: tuple[HeadBundle, ...] = ()) -> Catalog:
    return Catalog(models, heads)


def identities(target: Target) -> list[str]:
    return [
        link.model.identity + (f"+{link.head.identity}" if link.head else "")
        for link in target.chain()
    ]


FULL = catalog(OTHER, TINY_1, TINY_2, TINY_10, heads=(LOST, MOOD_1, MOOD_2))


@pytest.mark.parametrize(
    ("name", "version", "digest", "wanted"),
    [
        ("tiny", "", "", ["tiny@10", "tiny@2", "tiny@1"]),
        ("tiny@2", "", "", ["tiny@2"]),
        ("tiny", "1", "", ["tiny@1"]),
        ("other", "", "", ["other@1"]),
        ("", "", TINY_1.digest, ["tiny@1"]),
        ("whatever", "7", TINY_1.digest, ["tiny@1"]),
        ("mood", "", "", ["tiny@10+mood@2", "tiny@10+mood@1", "tiny@2+mood@2", "tiny@2+mood@1"]),
        ("mood@1", "", "", ["tiny@10+mood@1", "tiny@2+mood@1", "tiny@1+mood@1"]),
        ("", "", MOOD_1.digest, ["tiny@10+mood@1", "tiny@2+mood@1", "tiny@1+mood@1"]),
    ],
)
def test_resolve(name: str, version: str, digest: str, wanted: list[str]) -> None:
    assert identities(FULL.resolve(name, version, digest)) == wanted


@pytest.mark.parametrize(
    ("name", "version", "digest"),
    [
        ("nothing", "", ""),
        ("tiny@3", "", ""),
        ("tiny", "3", ""),
        ("tiny@", "3", ""),
        ("mood@3", "", ""),
        ("", "", "f" * 64),
        ("tiny", "", "f" * 64),
        ("../tiny", "", ""),
    ],
)
def test_what_is_not_there(name: str, version: str, digest: str) -> None:
    with pytest.raises(NotFound, match="does not exist") as caught:
        FULL.resolve(name, version, digest)
    assert (caught.value.field, caught.value.reason) == ("model", "MODEL_NOT_FOUND")


def test_where_there_is_nothing_no_name_is_blamed() -> None:
    with pytest.raises(NotFound, match="No model is served") as caught:
        Catalog().resolve("")
    assert caught.value.reason == "MODEL_NOT_FOUND"


def test_a_long_name_is_not_repeated() -> None:
    with pytest.raises(NotFound) as caught:
        FULL.resolve("x" * 100_000)
    assert len(caught.value.message) < 400


def test_a_head_behind_a_model_of_its_name_is_told() -> None:
    held = catalog(TINY_1, model("mood", "2", weights="v"), heads=(MOOD_1,))
    assert held.unserved() == ["head mood@1: not by its name alone, which is a model's too"]
    assert identities(held.resolve("mood")) == ["mood@2"]
    assert identities(held.resolve("mood@1")) == ["tiny@1+mood@1"]


def test_a_head_without_its_trunk_says_so() -> None:
    for name, digest in (("lost", ""), ("lost@1", ""), ("", LOST.digest)):
        with pytest.raises(NotFound, match="a head of 'gone', which is not") as caught:
            FULL.resolve(name, "", digest)
        assert caught.value.reason == "MODEL_NOT_FOUND"
    assert FULL.unserved() == ["head lost@1: no model that it fits, its trunk is gone"]
    assert [one.identity for one in FULL.heads()] == ["mood@1", "mood@2"]


def test_the_empty_name() -> None:
    assert catalog(TINY_1, TINY_2, heads=(MOOD_1,)).resolve("").model is TINY_2
    assert catalog(TINY_1, TINY_2).resolve("", "1").model is TINY_1
    with pytest.raises(InvalidArgument, match="several") as caught:
        FULL.resolve("")
    assert caught.value.field == "model"
    with pytest.raises(NotFound):
        catalog().resolve("")


def test_a_trunk_of_the_heads_own_name_is_preferred() -> None:
    twin = model("zwilling", "99")
    found = catalog(TINY_1, TINY_2, twin, heads=(MOOD_1,)).resolve("mood")
    assert identities(found) == ["tiny@2+mood@1", "tiny@1+mood@1", "zwilling@99+mood@1"]
    assert catalog(twin, heads=(MOOD_1,)).resolve("mood").model is twin


def test_a_head_that_needs_another_output_does_not_fit() -> None:
    narrow = replace(TINY_1, outputs=("pooled.cls",))
    with pytest.raises(NotFound, match="a head of 'tiny'"):
        catalog(narrow, heads=(MOOD_1,)).resolve("mood")


@pytest.mark.parametrize(
    ("name", "wanted"),
    [("mood", MOOD_2), ("mood@1", MOOD_1), (MOOD_1.digest, MOOD_1)],
)
def test_find_head(name: str, wanted: HeadBundle) -> None:
    assert FULL.find_head(TINY_1, name) is wanted


def test_the_trunk_of_a_head() -> None:
    assert FULL.trunk(MOOD_1) is TINY_10


def test_of_a_heads_versions_the_newest_that_fits() -> None:
    later = head("mood", "3", weights="v")
    found = catalog(OTHER, TINY_1, heads=(MOOD_1, MOOD_2, later))
    assert found.find_head(TINY_1, "mood") is MOOD_2
    assert found.find_head(OTHER, "mood") is later


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("mood", "head 'mood@2' is made for the model 'tiny', it does not fit 'other@1'"),
        ("lost", "is made for the model 'gone'"),
        ("tiny", "'tiny' does not exist"),
        ("", "'' does not exist"),
        ("mood@9", "'mood@9' does not exist"),
        ("f" * 64, "does not exist"),
    ],
)
def test_a_head_that_does_not_fit_is_refused(name: str, says: str) -> None:
    with pytest.raises(InvalidArgument) as caught:
        FULL.find_head(OTHER, name)
    assert caught.value.field == "head"
    assert says in caught.value.message


def test_a_replaced_bundle_stands_in_until_its_successor_has_answered() -> None:
    clock = Clock()
    rollout = Rollout(clock=clock)
    held = Catalog([TINY_1], rollout=rollout, departures=Departures(30, clock))
    new = model("tiny", "1", content="new")
    held.update([new], [], {})
    clock.now += 1000
    held.update([new], [], {})
    for name in ("tiny", "tiny@1", ""):
        target = held.resolve(name)
        assert [link.model.digest for link in target.chain()] == [new.digest, TINY_1.digest]
    with rollout.trial((new.digest, "")):
        pass
    held.update([new], [], {})
    clock.now += 31
    assert held.resolve("", "", TINY_1.digest).model is TINY_1
    held.update([new], [], {})
    assert held.resolve("tiny").fallback is None
    with pytest.raises(NotFound):
        held.resolve("", "", TINY_1.digest)


def test_a_version_that_was_taken_back_does_not_stand_in() -> None:
    held = catalog(TINY_1, TINY_2)
    held.update([TINY_1], [], {})
    assert identities(held.resolve("tiny")) == ["tiny@1"]
    assert held.resolve("", "", TINY_2.digest).model is TINY_2
    with pytest.raises(NotFound):
        held.resolve("tiny@2")
    held.update([], [], {})
    with pytest.raises(NotFound):
        held.resolve("tiny")


def test_a_version_that_came_for_another() -> None:
    held = catalog(TINY_1)
    held.update([TINY_2], [], {})
    assert identities(held.resolve("tiny")) == ["tiny@2", "tiny@1"]


def test_what_came_back_has_not_left() -> None:
    held = catalog(TINY_1)
    new = model("tiny", "1", content="new")
    held.update([new], [], {})
    held.update([TINY_1], [], {})
    digests = [link.model.digest for link in held.resolve("tiny").chain()]
    assert digests == [TINY_1.digest, new.digest]


def test_what_a_stage_lacked_is_held_off() -> None:
    clock = Clock()
    rollout = Rollout(5, clock)
    held = Catalog([TINY_1, TINY_2], rollout=rollout)
    rollout.hold((TINY_2.digest, ""))
    assert identities(held.resolve("tiny")) == ["tiny@1", "tiny@2"]
    assert held.resolve("tiny@2").model is TINY_2
    clock.now += 5
    assert identities(held.resolve("tiny")) == ["tiny@2", "tiny@1"]


def test_while_one_request_tries_again_the_others_stay_away() -> None:
    clock = Clock()
    rollout = Rollout(5, clock)
    rollout.hold(("new", ""))
    clock.now += 5
    assert not rollout.avoids(("new", ""))
    with contextlib.suppress(ModelNotLoaded), rollout.trial(("new", "")):
        assert rollout.avoids(("new", ""))
        assert rollout.held_off() == 1
        raise ModelNotLoaded("still not")
    assert not rollout.avoids(("new", ""))
    assert not rollout.proven("new")
    with rollout.trial(("new", "")):
        pass
    assert rollout.proven("new")
    rollout.hold(("new", ""))
    assert rollout.avoids(("new", ""))
    rollout.forget_all_but({"other"})
    assert not rollout.avoids(("new", ""))
    assert not rollout.proven("new")


def test_what_has_answered_before_stands_in_first() -> None:
    rollout = Rollout()
    held = Catalog([TINY_1, TINY_2, TINY_10], rollout=rollout)
    with rollout.trial((TINY_1.digest, "")):
        pass
    assert identities(held.resolve("tiny")) == ["tiny@10", "tiny@1", "tiny@2"]
