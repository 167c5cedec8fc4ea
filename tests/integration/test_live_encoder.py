"""The encoder while its repository changes: real graphs, real calls."""

import asyncio
import contextlib
import itertools
import shutil
from collections.abc import AsyncIterator, Awaitable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.integration.live import BEARER, INT8_FLOOR, Live, Workshop, named, serving
from triptych.v1 import admin_service_pb2 as admin
from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle
from triptych_encoder.application import EncoderApplication
from triptych_encoder.runtimes import Machine
from triptych_encoder.settings import EncoderSettings
from triptych_servicekit.errors import ModelNotLoaded, NotFound, TriptychError
from triptych_servicekit.status import from_rpc_error
from triptych_servicekit.tensors import FLOATS, from_tensor, to_tensor

IDS = [2, 5, 6, 7, 3]
LETTERS = np.arange(4, 44)
SEEDS = itertools.count()


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Workshop:
    """Compiles each bundle once for all tests."""
    return Workshop(tmp_path_factory.mktemp("workshop"))


@pytest.fixture
def workshop(made: Workshop) -> Workshop:
    """With an empty repository."""
    shutil.rmtree(made.repository)
    (made.repository / ".staging").mkdir(parents=True)
    return made


def encoder(workshop: Workshop, **extra: str) -> contextlib.AbstractAsyncContextManager[Live]:
    return serving(EncoderApplication, EncoderSettings, workshop.repository, **extra)


def request(model: types.ModelRef, count: int = 1) -> pb.EncodeRequest:
    """IDS, and what no other call has: equal sequences would share a computation."""
    others = np.random.default_rng(next(SEEDS)).permuted(np.tile(LETTERS, (count - 1, 1)), axis=1)
    ids = np.concatenate([IDS, others[:, : len(IDS)].ravel()]).astype(np.int32)
    lengths = np.full(count, len(IDS), np.int32)
    batch = types.SequenceBatch(lengths=to_tensor(lengths), input_ids=to_tensor(ids))
    pooled = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED)
    return pb.EncodeRequest(model=model, sequences=batch, outputs=[pooled])


def rows(response: pb.EncodeResponse) -> NDArray[Any]:
    return from_tensor(response.outputs[0], "output", dtypes=FLOATS, dimensions=(2,))


async def encode(live: Live, count: int = 1, **model: str) -> pb.EncodeResponse:
    stub: Any = rpc.EncoderServiceStub(live.channel)
    answer: pb.EncodeResponse = await stub.Encode(request(named(**model), count), timeout=20)
    return answer


async def refusal(call: Awaitable[Any]) -> TriptychError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


@contextlib.asynccontextmanager
async def under_load(live: Live, **model: str) -> AsyncIterator[list[str]]:
    """Calls without a pause, by four callers; the digests that answered. A failure is raised."""
    digests: list[str] = []
    stop = asyncio.Event()

    async def caller() -> None:
        while not stop.is_set():
            digests.append((await encode(live, 8, **model)).model.digest)

    async with asyncio.TaskGroup() as group:
        for _ in range(4):
            group.create_task(caller())
        try:
            yield digests
        finally:
            stop.set()


async def test_a_model_appears_in_an_empty_repository(workshop: Workshop) -> None:
    async with encoder(workshop) as live:
        assert not await live.ready()
        assert isinstance(await refusal(encode(live)), NotFound)
        first = workshop.install(version="9")
        await live.until(v9="LOADED")
        assert await live.ready()
        assert (await encode(live)).model.digest == first.digest
        second = workshop.install(version="10", seed=8)
        await live.until(v9="LOADED", v10="LOADED")
        assert (await encode(live, name="tiny")).model.digest == second.digest
        assert (await encode(live, name="tiny", version="9")).model.digest == first.digest
        assert await live.metric("triptych_encoder_models_loaded") == 2
        assert await live.metric("triptych_encoder_loaded_bytes") == first.size + second.size


async def test_replaced_in_place_under_load_without_a_failed_call(workshop: Workshop) -> None:
    old, new = workshop.install(), workshop.make(seed=8)
    async with encoder(workshop, TRIPTYCH_MODELS_DRAIN_TIMEOUT="0.5") as live:
        before = rows(await encode(live))
        async with under_load(live, name="tiny") as digests:
            for bundle in (new, old, new):
                workshop.install(seed=8 if bundle is new else 7)
                # a call of our own: the load's last answer may be to a call from before
                while (  # noqa: ASYNC110 - it polls, so do we
                    await encode(live, name="tiny")
                ).model.digest != bundle.digest:
                    await asyncio.sleep(0.01)
        assert set(digests) == {old.digest, new.digest}
        after = rows(await encode(live))
        assert not np.allclose(before, after)
        await live.until(v1="LOADED")
        assert isinstance(await refusal(encode(live, digest=old.digest)), ModelNotLoaded)
        assert await live.metric("triptych_encoder_models_loaded") == 1


async def test_a_version_that_goes_serves_who_names_its_digest_until_it_has_drained(
    workshop: Workshop,
) -> None:
    workshop.install(version="1")
    gone = workshop.install(version="2", seed=8)
    async with encoder(workshop, TRIPTYCH_MODELS_DRAIN_TIMEOUT="1") as live:
        async with under_load(live, name="tiny") as digests:
            workshop.remove("tiny", "2")
            await live.until(v1="LOADED", v2="DRAINING")
            assert (await encode(live, digest=gone.digest)).model.version == "2"
            assert (await encode(live, name="tiny")).model.version == "1"
            await live.until(v1="LOADED")
        assert gone.digest in digests
        assert isinstance(await refusal(encode(live, digest=gone.digest)), ModelNotLoaded)


async def test_calls_in_progress_keep_what_they_began_with(workshop: Workshop) -> None:
    old = workshop.install()
    async with encoder(workshop, TRIPTYCH_RUNTIME_WORKERS="1") as live:
        calls = [asyncio.ensure_future(encode(live, 3000)) for _ in range(16)]
        unload = admin.UnloadModelRequest(model=named("tiny"))
        while await live.metric("triptych_encoder_in_flight_requests") < 4:
            continue
        left = await live.admin.UnloadModel(unload, metadata=BEARER)
        calls.pop(0).cancel()
        results = await asyncio.gather(*calls, return_exceptions=True)
        answers = [result for result in results if isinstance(result, pb.EncodeResponse)]
        late = [from_rpc_error(r) for r in results if isinstance(r, grpc.aio.AioRpcError)]
        assert len(answers) >= 3
        assert {answer.model.digest for answer in answers} == {old.digest}
        assert all(isinstance(error, NotFound) for error in late)
        await live.until(v1="UNLOADED")
        assert left.bundle.state == admin.BUNDLE_STATE_DRAINING
        assert await live.metric("triptych_encoder_models_loaded") == 0
        assert await live.metric("triptych_encoder_queued_tokens") == 0


async def test_a_bundle_that_fails_its_golden_vectors_leaves_the_old_one(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    old = workshop.install()
    other = workshop.make("tiny", "2", seed=8)
    async with encoder(workshop) as live:
        spoilt = workshop.repository / ".staging" / "spoilt"
        shutil.copytree(other.path, spoilt)
        swap_golden(spoilt, old)
        spoilt.rename(workshop.repository / "tiny" / "2")
        await live.until(v1="LOADED", v2="REFUSED")
        assert (await encode(live, name="tiny")).model.digest == old.digest
        error = await refusal(
            live.admin.LoadModel(admin.LoadModelRequest(model=named("tiny")), metadata=BEARER)
        )
        assert error.reason == "BUNDLE_REFUSED"
        assert error.message.startswith("tiny@2 is refused: golden-vectors.safetensors: pooled.")
        assert "at cosine" in error.message
        assert str(workshop.repository) not in error.message
        assert await live.metric("triptych_encoder_models_loaded") == 1


def swap_golden(folder: Path, other: Bundle) -> None:
    """Give a bundle another's golden vectors, recorded as its own."""
    name, manifest = "golden-vectors.safetensors", folder / "bundle.yaml"
    digest = other.record(name).sha256
    text = manifest.read_text()
    before = text[text.index(f"{name}:\n") :].partition("sha256: ")[2][:64]
    shutil.copyfile(other.file(name), folder / name)
    manifest.write_text(text.replace(before, digest))


async def test_a_graph_that_cannot_be_opened_is_refused_by_its_file_name(
    workshop: Workshop,
) -> None:
    workshop.install()
    async with encoder(workshop) as live:
        (workshop.repository / "tiny" / "1" / "model.onnx").write_bytes(b"no graph")
        unload = admin.UnloadModelRequest(model=named("tiny"))
        await live.admin.UnloadModel(unload, metadata=BEARER)
        loading = live.admin.LoadModel(
            admin.LoadModelRequest(model=named("tiny", "1")), metadata=BEARER
        )
        error = await refusal(loading)
        assert error.message.startswith("tiny@1 is refused: model.onnx: is truncated")


async def test_evicted_models_come_back_on_demand_under_load(workshop: Workshop) -> None:
    a, b = workshop.install("a"), workshop.install("b", seed=8)
    budget = str(max(a.size, b.size) + 1)
    async with encoder(workshop, TRIPTYCH_MODELS_MEMORY_BUDGET_BYTES=budget) as live:
        assert await live.metric("triptych_encoder_models_loaded") == 1
        expected = {bundle.name: rows(await encode(live, name=bundle.name)) for bundle in (a, b)}
        for _ in range(3):
            for bundle in (a, b):
                calls = [encode(live, digest=bundle.digest) for _ in range(8)]
                for response in await asyncio.gather(*calls):
                    np.testing.assert_allclose(rows(response), expected[bundle.name], atol=1e-6)
        assert await live.metric("triptych_encoder_evictions_total") >= 6
        assert await live.metric("triptych_encoder_models_loaded") == 1


async def test_a_bundle_copied_file_by_file_serves_when_it_is_whole(workshop: Workshop) -> None:
    bundle = workshop.make()
    target = workshop.repository / "tiny" / "1"
    target.mkdir(parents=True)
    async with encoder(workshop) as live:
        for name in ("bundle.yaml", "model.onnx", "config.json", "golden-texts.json"):
            content = (bundle.path / name).read_bytes()
            for part in (content[: len(content) // 2], content):
                (target / name).write_bytes(part)
                await asyncio.sleep(0.08)
        await live.until(v1="REFUSED")
        shutil.copyfile(bundle.file("golden-vectors.safetensors"), target / "part")
        (target / "part").rename(target / "golden-vectors.safetensors")
        await live.until(v1="LOADED")
        assert (await encode(live)).model.digest == bundle.digest


async def test_what_runs_a_model_is_published(workshop: Workshop) -> None:
    workshop.install()
    async with encoder(workshop) as live:
        await live.until(_1="LOADED")
        shown = 'triptych_encoder_model_info{backend="onnxruntime",model="tiny@1",precision="fp32"}'
        assert await live.metric(shown) == 1


async def test_what_raced_is_published(workshop: Workshop) -> None:
    """Whichever of the two came in first, where the processor has bf16."""
    bundle = workshop.install()
    async with encoder(workshop, TRIPTYCH_RUNTIME_PRECISION="auto") as live:
        await live.until(_1="LOADED")
        assert len(rows(await encode(live, digest=bundle.digest))) == 1
        if Machine.here().bf16:
            assert await live.metric('triptych_encoder_precision_speedup{model="tiny@1"}') > 0


async def test_a_bundle_without_the_graph_of_the_precision_is_refused(workshop: Workshop) -> None:
    workshop.install()
    async with encoder(workshop, TRIPTYCH_RUNTIME_PRECISION="int8") as live:
        await live.until(_1="REFUSED")
        assert not await live.ready()
        listed = await live.admin.ListBundles(admin.ListBundlesRequest(), metadata=BEARER)
        assert "triptych-models compile --precision int8" in listed.bundles[0].reason


async def test_a_bundle_with_the_graphs_of_a_precision_serves_in_it(workshop: Workshop) -> None:
    bundle = workshop.install(int8=True)
    async with encoder(workshop) as live:
        await live.until(_1="LOADED")
        (exact,) = rows(await encode(live, digest=bundle.digest))
    async with encoder(workshop, TRIPTYCH_RUNTIME_PRECISION="int8") as live:
        await live.until(_1="LOADED")
        (served,) = rows(await encode(live, digest=bundle.digest))
        machine = Machine.here()
        engine = "openvino" if machine.openvino and machine.vnni else "onnxruntime"
        shown = f'triptych_encoder_model_info{{backend="{engine}",model="tiny@1",precision="int8"}}'
        assert await live.metric(shown) == 1
    cosine = exact @ served / np.linalg.norm(exact) / np.linalg.norm(served)
    assert INT8_FLOOR <= cosine < 1 - 1e-6


async def test_runs_alone_get_several_threads_soon_after_the_start(
    workshop: Workshop, caplog: pytest.LogCaptureFixture
) -> None:
    bundle = workshop.install()
    with caplog.at_level("INFO", "triptych_encoder.application"):
        async with encoder(workshop, TRIPTYCH_RUNTIME_WORKERS="2") as live:
            before = rows(await encode(live, digest=bundle.digest))
            async with asyncio.timeout(20):
                while "runs alone by several threads" not in caplog.text:  # noqa: ASYNC110
                    await asyncio.sleep(0.01)
            after = rows(await encode(live, digest=bundle.digest))
    np.testing.assert_allclose(after, before, atol=1e-6)
