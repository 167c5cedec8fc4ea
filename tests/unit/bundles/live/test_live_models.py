"""Bundles that come, change and go while they are used."""

import asyncio
import gc
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound
from triptych_servicekit.stores import BundleState

WriteBundle = Callable[..., Path]
LOADED, DRAINING = BundleState.LOADED, BundleState.DRAINING
REFUSED, UNLOADED = BundleState.REFUSED, BundleState.UNLOADED


def digests(service: Any) -> dict[str, str]:
    """Digest by identity, of what is found by name."""
    return {bundle.identity: bundle.digest for bundle in service.models.bundles()}


def rewrite(write_bundle: WriteBundle, folder: Path, **changes: Any) -> None:
    """Replace a bundle in its place."""
    shutil.rmtree(folder)
    write_bundle(folder.parent.name, folder.name, **changes)


def refusals(caplog: pytest.LogCaptureFixture) -> list[tuple[str, str]]:
    return [
        (vars(record)["model"], vars(record)["reason"])
        for record in caplog.records
        if record.message == "bundle refused"
    ]


async def test_the_newest_version_is_found_by_natural_order(
    service: Any, write_bundle: WriteBundle
) -> None:
    for version in ("10", "9", "2.rc"):
        write_bundle(version=version)
    async with service() as running:
        assert await running.use("tiny") == await running.use() == "tiny@10"
        assert await running.use("tiny", "2.rc") == "tiny@2.rc"
        assert await running.use(digest=digests(running)["tiny@9"]) == "tiny@9"
        write_bundle("other")
        await running.look()
        assert await running.use("other") == "other@1"
        with pytest.raises(InvalidArgument, match="several"):
            await running.use()
        with pytest.raises(NotFound, match="'tiny' of version '3'"):
            await running.use("tiny", "3")
        with pytest.raises(ModelNotLoaded):
            await running.use(digest="0" * 64)


async def test_only_the_names_to_serve_are_loaded(service: Any, write_bundle: WriteBundle) -> None:
    write_bundle()
    write_bundle("other")
    async with service(names=("other",)) as running:
        assert running.loads == ["other@1"]
        assert list(running.states()) == ["other@1"]


async def test_an_empty_repository_is_not_ready_until_a_model_appears(
    service: Any, write_bundle: WriteBundle
) -> None:
    async with service() as running:
        assert running.models.unready() == ["no model is loaded"]
        with pytest.raises(NotFound, match="no model"):
            await running.use()
        write_bundle()
        await running.look()
        assert not running.models.unready()
        assert running.sample("models_loaded") == 1
        assert running.sample("loads_total", outcome="loaded") == 1
        assert running.sample("load_duration_seconds_count") == 1


async def test_a_version_that_loads_is_not_served_yet(
    service: Any, write_bundle: WriteBundle
) -> None:
    write_bundle(version="1")
    async with service() as running:
        running.open.clear()
        write_bundle(version="2")
        await running.repository.look()
        assert running.states() == {"tiny@1": LOADED, "tiny@2": BundleState.LOADING}
        assert await running.use("tiny") == "tiny@1"
        running.open.set()
        await running.models.settled()
        assert await running.use("tiny") == "tiny@2"


async def test_a_refused_bundle_leaves_what_served(
    service: Any, write_bundle: WriteBundle, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_bundle()
    async with service() as running:
        served = digests(running)["tiny@1"]
        rewrite(write_bundle, folder, spoil=lambda facts: facts.update(created=5))
        (folder / "model.onnx").write_bytes(b"GRAPH")
        await running.look(3)
        assert await running.use("tiny") == "tiny@1"
        assert await running.use(digest=served) == "tiny@1"
        assert running.loads == ["tiny@1"] * 2, "tried again though nothing changed"
        assert sorted(running.states().values(), key=str) == [LOADED, REFUSED]
        model, reason = refusals(caplog).pop()
        assert model == "tiny@1"
        assert reason.startswith("model.onnx: has the wrong hash")
        assert len(refusals(caplog)) == 1
        assert running.sample("loads_total", outcome="refused") == 1
        (folder / "model.onnx").write_bytes(b"graph")
        await running.look()
        assert await running.use("tiny") == "tiny@1"
        assert digests(running)["tiny@1"] != served


async def test_an_error_nobody_foresaw_refuses_only_its_bundle(
    service: Any, write_bundle: WriteBundle, caplog: pytest.LogCaptureFixture
) -> None:
    write_bundle("good")
    write_bundle("cursed")
    async with service() as running:
        assert await running.use("good") == "good@1"
        assert refusals(caplog) == [("cursed@1", "could not be loaded: ZeroDivisionError")]
        assert running.sample("loads_total", outcome="failed") == 1


async def test_a_bundle_without_a_readable_manifest_is_told_once(
    service: Any, write_bundle: WriteBundle, caplog: pytest.LogCaptureFixture, root: Path
) -> None:
    folder = write_bundle()
    async with service() as running:
        manifest = (folder / "bundle.yaml").read_bytes()
        (folder / "bundle.yaml").write_bytes(b"{")
        await running.look(4)
        assert await running.use("tiny") == "tiny@1", "what served goes on"
        ((model, reason),) = refusals(caplog)
        assert model == "tiny@1"
        assert reason.startswith("bundle.yaml: is not valid YAML")
        assert str(root) not in reason
        (folder / "bundle.yaml").write_bytes(manifest)
        await running.look()
        assert running.states() == {"tiny@1": LOADED}
        assert running.loads == ["tiny@1"]


async def test_replaced_in_place_the_old_digest_drains(
    service: Any, write_bundle: WriteBundle
) -> None:
    folder = write_bundle()
    async with service(drain_timeout=0.2) as running:
        old = digests(running)["tiny@1"]
        rewrite(write_bundle, folder, spoil=lambda facts: facts.update(created=5))
        await running.look()
        new = digests(running)["tiny@1"]
        assert new != old
        assert sorted(running.states().values(), key=str) == [DRAINING, LOADED]
        async with running.models.use(digest=old) as lent, running.models.use("tiny") as other:
            assert (lent.digest, other.digest) == (old, new)
            await asyncio.sleep(0.3)
            with pytest.raises(ModelNotLoaded):
                await running.use(digest=old)
            assert running.released == []
            assert len(await running.alive(2)) == 2
        del lent, other
        await asyncio.sleep(0.05)
        assert running.released == ["tiny@1"]
        assert len(await running.alive(1)) == 1
        assert running.states() == {"tiny@1": LOADED}


async def test_a_version_that_was_removed_drains(service: Any, write_bundle: WriteBundle) -> None:
    folder = write_bundle(version="2")
    write_bundle(version="1")
    async with service(drain_timeout=0.1) as running:
        removed = digests(running)["tiny@2"]
        shutil.rmtree(folder)
        await running.look()
        assert await running.use("tiny") == "tiny@2", "gone for one look: it may be replaced"
        await running.look()
        assert await running.use("tiny") == "tiny@1"
        assert await running.use(digest=removed) == "tiny@2"
        await asyncio.sleep(0.2)
        assert running.states() == {"tiny@1": LOADED}
        assert running.released == ["tiny@2"]


async def test_a_digest_that_comes_back_is_not_loaded_again(
    service: Any, write_bundle: WriteBundle
) -> None:
    folder = write_bundle()
    async with service() as running:
        first = digests(running)
        rewrite(write_bundle, folder, spoil=lambda facts: facts.update(created=5))
        await running.look()
        assert digests(running) != first
        rewrite(write_bundle, folder)
        await running.look()
        assert digests(running) == first
        assert running.loads == ["tiny@1"] * 2


async def test_a_repository_that_cannot_be_listed_changes_nothing(
    service: Any,
    write_bundle: WriteBundle,
    root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_bundle()
    async with service() as running:
        shutil.move(root, tmp_path / "elsewhere")
        await running.look(4)
        assert await running.use("tiny") == "tiny@1"
        assert [r.message for r in caplog.records if "cannot be listed" in r.message] == [
            "the repository cannot be listed: No such file or directory"
        ]


async def test_a_bundle_copied_file_by_file_is_served_when_it_is_whole(
    service: Any,
    write_bundle: WriteBundle,
    root: Path,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    whole = write_bundle().rename(tmp_path / "whole")
    async with service() as running:
        folder = root / "tiny" / "1"
        folder.mkdir(parents=True)
        await running.look()
        for name in ("bundle.yaml", "golden-texts.json", "golden-vectors.safetensors"):
            shutil.copyfile(whole / name, folder / name)
            await running.look()
        (folder / "model.onnx").write_bytes(b"gr")
        await running.look()
        shutil.copyfile(whole / "model.onnx", folder / "model.onnx")
        shutil.copyfile(whole / "tokenizer.json", folder / "tokenizer.json")
        await running.look()
        assert await running.use("tiny") == "tiny@1"
        assert [reason for _, reason in refusals(caplog)] == [
            "bundle.yaml: cannot be read: No such file or directory",
            "model.onnx: is missing",
        ]


async def test_what_stays_wrong_after_copying_is_told(
    service: Any, write_bundle: WriteBundle, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_bundle()
    (folder / "model.onnx").unlink()
    async with service() as running:
        for content in (b"g", b"gra", b"other"):
            (folder / "model.onnx").write_bytes(content)
            await running.look()
        await running.look(2)
        reasons = [reason[:30] for _, reason in refusals(caplog)]
        assert reasons == ["model.onnx: is missing", "model.onnx: has the wrong hash"]


async def test_the_collector_is_not_needed_even_for_what_was_frozen(
    service: Any, write_bundle: WriteBundle
) -> None:
    folder = write_bundle()
    async with service(drain_timeout=0) as running:
        gc.collect()
        gc.freeze()
        try:
            assert await running.alive(1) == ["tiny@1"]
            shutil.rmtree(folder)
            await running.look(2)
            await asyncio.sleep(0.05)
            assert await running.alive(0) == []
        finally:
            gc.unfreeze()
        assert running.sample("models_loaded") == running.sample("loaded_bytes") == 0


async def test_polling_finds_what_is_new(service: Any, write_bundle: WriteBundle) -> None:
    async with service() as running:
        await running.repository.start()
        assert not running.repository.dead()
        write_bundle()
        async with asyncio.timeout(5):
            while running.models.unready():  # noqa: ASYNC110 - it polls, so do we
                await asyncio.sleep(0.01)
        assert await running.use() == "tiny@1"


async def test_bundles_are_unloaded_and_loaded_by_request(
    service: Any, write_bundle: WriteBundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    write_bundle(version="1")
    write_bundle(version="2")
    async with service() as running:
        digest = digests(running)["tiny@2"]
        async with running.models.use("tiny"):
            assert (await running.repository.unload("tiny", "", "")).state is DRAINING
            assert await running.use("tiny") == "tiny@1"
            with pytest.raises(ModelNotLoaded):
                await running.use(digest=digest)
        await running.look(3)
        assert running.states() == {"tiny@1": LOADED, "tiny@2": UNLOADED}
        assert running.released == ["tiny@2"]
        status = await running.repository.load("tiny", "")
        assert (status.version, status.state) == ("2", LOADED)
        assert await running.use("tiny") == "tiny@2"
        assert (await running.repository.unload("", "", digest)).state is UNLOADED
        for name, version in (("tiny", "3"), ("huge", ""), ("../tiny", "")):
            with pytest.raises(NotFound):
                await running.repository.load(name, version)
            with pytest.raises(NotFound):
                await running.repository.unload(name, version, "")


async def test_a_load_by_request_says_why_it_was_refused(
    service: Any, write_bundle: WriteBundle, root: Path
) -> None:
    folder = write_bundle()
    (folder / "model.onnx").unlink()
    broken = write_bundle("broken")
    (broken / "bundle.yaml").write_text("schema: 3\n")
    async with service() as running:
        with pytest.raises(ModelNotLoaded) as refused:
            await running.repository.load("tiny", "1")
        assert refused.value.message == "tiny@1 is refused: model.onnx: is missing"
        assert refused.value.reason == "BUNDLE_REFUSED"
        with pytest.raises(ModelNotLoaded, match=r"broken@1 is refused: bundle.yaml: schema"):
            await running.repository.load("broken", "")
        (folder / "model.onnx").write_bytes(b"graph")
        assert (await running.repository.load("tiny", "1")).state is LOADED
        statuses = {status.name: status for status in running.repository.statuses()}
        assert (statuses["broken"].state, statuses["broken"].digest) == (REFUSED, "")
