"""The memory budget: who leaves for whom, and how they come back."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triptych_servicekit.errors import DeadlineExceeded, ModelNotLoaded, Unavailable
from triptych_servicekit.stores import BundleState

WriteBundle = Callable[..., Path]
LOADED, UNLOADED = BundleState.LOADED, BundleState.UNLOADED


@pytest.fixture
def size(write_bundle: WriteBundle, root: Path) -> int:
    """Bytes of a tiny bundle's files."""
    folder = write_bundle("measured")
    total = sum(path.stat().st_size for path in folder.iterdir() if path.name != "bundle.yaml")
    shutil.rmtree(folder.parent)
    return total


async def test_the_one_unused_for_longest_leaves_and_comes_back_when_called(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    write_bundle("b")
    async with service(memory_budget_bytes=2 * size) as running:
        assert running.sample("loaded_bytes") == 2 * size
        await running.use("b")
        await running.use("a")
        digest = next(b.digest for b in running.models.bundles() if b.name == "b")
        write_bundle("c")
        await running.look()
        assert running.states() == {"a@1": LOADED, "b@1": UNLOADED, "c@1": LOADED}
        assert running.released == ["b@1"]
        assert await running.alive(2) == ["a@1", "c@1"]
        assert running.sample("evictions_total") == 1
        await running.use("c")
        assert await running.use(digest=digest) == "b@1"
        assert running.states() == {"a@1": UNLOADED, "b@1": LOADED, "c@1": LOADED}
        assert await running.use("a") == "a@1"
        assert running.sample("loaded_bytes") == 2 * size
        await running.look(2)
        assert running.sample("evictions_total") == 3


async def test_many_calls_for_one_bundle_load_it_once(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    write_bundle("b")
    async with service(memory_budget_bytes=size) as running:
        assert running.states() == {"a@1": LOADED, "b@1": UNLOADED}, "the first look evicts nobody"
        assert running.loads == ["a@1"]
        running.open.clear()
        calls = [asyncio.ensure_future(running.use("b")) for _ in range(20)]
        await asyncio.sleep(0.05)
        running.open.set()
        assert await asyncio.gather(*calls) == ["b@1"] * 20
        assert running.loads == ["a@1", "b@1"]


async def test_what_is_in_use_stays_and_is_waited_for(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    write_bundle("b")
    async with service(memory_budget_bytes=size) as running:
        async with running.models.use("a"):
            with pytest.raises(DeadlineExceeded):
                await running.use("b", timeout=0.05)
            waiting = asyncio.ensure_future(running.use("b"))
            await asyncio.sleep(0.05)
            assert not waiting.done()
            assert await running.alive(1) == ["a@1"]
        assert await waiting == "b@1"
        assert await running.alive(1) == ["b@1"]


async def test_who_stops_waiting_is_not_loaded_for(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    write_bundle("b")
    async with service(memory_budget_bytes=size) as running:
        async with running.models.use("a"):
            waiting = asyncio.ensure_future(running.use("b"))
            await asyncio.sleep(0.02)
            waiting.cancel()
            await asyncio.sleep(0.02)
        await asyncio.sleep(0.02)
        assert running.loads == ["a@1"]
        assert running.states() == {"a@1": LOADED, "b@1": UNLOADED}


async def test_pinned_bundles_never_leave(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    write_bundle("z")
    async with service(memory_budget_bytes=size, pinned=("z",)) as running:
        assert running.states() == {"a@1": UNLOADED, "z@1": LOADED}
        digest = next(b.digest for b in running.models.bundles() if b.name == "a")
        with pytest.raises(Unavailable, match="no room"):
            await running.use("a")
        with pytest.raises(ModelNotLoaded, match="no room"):
            await running.use(digest=digest)
        with pytest.raises(ModelNotLoaded, match="a@1 is not loaded: no room"):
            await running.repository.load("a", "")
        pinned = {status.name for status in running.repository.statuses() if status.pinned}
        assert pinned == {"z"}


async def test_larger_than_the_budget_is_refused(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    write_bundle("b", files={"model.onnx": b"g" * 9})
    async with service(memory_budget_bytes=size) as running:
        statuses = {status.name: status for status in running.repository.statuses()}
        assert statuses["b"].state is BundleState.REFUSED
        assert statuses["b"].reason == (f"has {size + 4} bytes, the memory budget allows {size}")
        assert running.loads == ["a@1"]


async def test_the_newest_versions_are_loaded_first(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    for version in ("1", "2", "10"):
        write_bundle("a", version)
    write_bundle("b")
    async with service(memory_budget_bytes=2 * size, max_concurrent_loads=1) as running:
        assert running.loads == ["a@10", "b@1"]
        assert await running.use("a", "2") == "a@2"


async def test_a_new_version_does_not_wait_in_front_of_the_old_one(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a", "1")
    async with service(memory_budget_bytes=size) as running:
        async with running.models.use("a"):
            write_bundle("a", "2")
            await running.look()
            assert await running.use("a", timeout=1) == "a@1"
            assert running.states() == {"a@1": LOADED, "a@2": UNLOADED}
        await running.look()
        assert running.states() == {"a@1": UNLOADED, "a@2": LOADED}


async def test_what_could_not_come_back_does_not_leave(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    folder = write_bundle("a")
    async with service(memory_budget_bytes=size) as running:
        shutil.rmtree(folder)
        write_bundle("a", spoil=lambda facts: facts.update(created=5))
        await running.look(2)
        assert await running.use("a", timeout=1) == "a@1"
        assert running.released == []
        shutil.rmtree(folder)
        await running.look(2)
        write_bundle("a", spoil=lambda facts: facts.update(created=5))
        await running.look()
        assert running.states() == {"a@1": LOADED}
        assert running.released == ["a@1"], "a draining digest makes room"


async def test_an_evicted_bundle_replaced_in_place_comes_back_as_the_new_one(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    folder = write_bundle("b")
    async with service(memory_budget_bytes=size) as running:
        old = next(b.digest for b in running.models.bundles() if b.name == "b")
        shutil.rmtree(folder)
        write_bundle("b", spoil=lambda facts: facts.update(created=5))
        await running.look()
        async with running.models.use("b") as lent:
            assert lent.digest != old
        del lent
        with pytest.raises(ModelNotLoaded):
            await running.use(digest=old)


async def test_an_evicted_bundle_that_has_been_spoilt_gives_way_to_an_older_one(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a", "1")
    folder = write_bundle("a", "2")
    write_bundle("b")
    async with service(memory_budget_bytes=size) as running:
        await running.use("a")
        await running.use("b")
        (folder / "model.onnx").write_bytes(b"GRAPH")
        assert await running.use("a") == "a@1"
        assert running.states()["a@2"] is BundleState.REFUSED
        (folder / "model.onnx").write_bytes(b"graph")
        await running.look()
        assert await running.use("a") == "a@2"


async def test_what_drains_leaves_before_what_serves(
    service: Any, write_bundle: WriteBundle, size: int
) -> None:
    write_bundle("a")
    folder = write_bundle("b")
    async with service(memory_budget_bytes=2 * size) as running:
        await running.use("a")
        await running.use("b")
        shutil.rmtree(folder)
        await running.look(2)
        write_bundle("c")
        await running.look()
        assert running.states() == {"a@1": LOADED, "c@1": LOADED}
