"""Postprocess over real gRPC."""

import contextlib
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import Repository, read_golden
from triptych_postprocess.application import PostprocessApplication
from triptych_postprocess.settings import PostprocessSettings
from triptych_servicekit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ModelNotLoaded,
    NotFound,
    PayloadTooLarge,
    TriptychError,
)
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import load
from triptych_servicekit.status import from_rpc_error, from_status
from triptych_servicekit.tensors import FLOATS, from_tensor, to_tensor

SERVICE = "triptych.v1.PostprocessService"
HIDDEN = 384

Postprocess = tuple["rpc.PostprocessServiceAsyncStub", Server]
Rows = NDArray[np.float32]


@contextlib.asynccontextmanager
async def postprocess(repository: Path, **extra: str) -> AsyncIterator[Postprocess]:
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
        "TRIPTYCH_MODELS_REPOSITORY": str(repository),
        **extra,
    }
    settings = load(PostprocessSettings, environment)
    async with (
        running(PostprocessApplication(settings), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.PostprocessServiceStub(channel), server


@pytest.fixture
async def service(bundle_repository: Path) -> AsyncIterator[Postprocess]:
    async with postprocess(bundle_repository) as started:
        yield started


@pytest.fixture
def vectors(bundle_repository: Path) -> Rows:
    """The golden pooled vectors."""
    return np.array(read_golden(Repository(bundle_repository).bundles()[0]).outputs["pooled.mean"])


def request(vectors: NDArray[Any], **fields: Any) -> pb.PostprocessServiceEmbedRequest:
    return pb.PostprocessServiceEmbedRequest(vectors=to_tensor(vectors), **fields)


def pairs(
    vectors: Rows, first: Sequence[int], second: Sequence[int], **fields: Any
) -> pb.PostprocessServiceSimilarityRequest:
    return pb.PostprocessServiceSimilarityRequest(
        vectors=to_tensor(vectors),
        first_index=to_tensor(np.array(first, np.int32)),
        second_index=to_tensor(np.array(second, np.int32)),
        **fields,
    )


def embeddings(response: pb.PostprocessServiceEmbedResponse) -> NDArray[Any]:
    return from_tensor(response.result.embeddings, "embeddings", dtypes=FLOATS, dimensions=(2,))


def scores(response: pb.PostprocessServiceSimilarityResponse) -> NDArray[Any]:
    return from_tensor(response.result.scores, "scores", dtypes=FLOATS, dimensions=(1,))


def normalized(vectors: NDArray[Any]) -> NDArray[np.float64]:
    wide = vectors.astype(np.float64)
    units: NDArray[np.float64] = wide / np.linalg.norm(wide, axis=1, keepdims=True)
    return units


async def refusal(call: Awaitable[Any]) -> TriptychError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_embeddings_follow_the_bundle(service: Postprocess, vectors: Rows) -> None:
    response = await service[0].Embed(request(vectors))
    assert embeddings(response) == pytest.approx(normalized(vectors), abs=1e-6)
    assert (response.model.name, response.model.version) == ("all-minilm-l6-v2", "1")
    assert len(response.model.digest) == 64
    assert len(response.timings) == 1


async def test_options(service: Postprocess, vectors: Rows) -> None:
    options = pb.EmbedOptions(dimensions=64, dtype=types.DATA_TYPE_FLOAT16)
    response = await service[0].Embed(request(vectors, options=options))
    assert response.result.embeddings.dtype == types.DATA_TYPE_FLOAT16
    assert embeddings(response) == pytest.approx(normalized(vectors[:, :64]), abs=1e-3)
    raw = await service[0].Embed(request(vectors, options=pb.EmbedOptions(normalize=False)))
    assert np.array_equal(embeddings(raw), vectors)


async def test_small_embeddings(service: Postprocess, vectors: Rows) -> None:
    units = normalized(vectors[:, :60])
    small = await service[0].Embed(
        request(vectors, options=pb.EmbedOptions(dimensions=60, dtype=types.DATA_TYPE_INT8))
    )
    assert small.result.embeddings.dtype == types.DATA_TYPE_INT8
    rows = np.frombuffer(small.result.embeddings.data, np.int8).reshape(len(vectors), 60)
    exact = units * 127 / np.abs(units).max(axis=1, keepdims=True)
    assert (np.abs(rows - exact) <= 0.501).all()
    bits = await service[0].Embed(
        request(vectors, options=pb.EmbedOptions(dimensions=60, dtype=types.DATA_TYPE_UINT8))
    )
    assert list(bits.result.embeddings.shape) == [len(vectors), 8]
    assert bits.result.embeddings.data == np.packbits(vectors[:, :60] > 0, axis=1).tobytes()


async def test_windows_become_one_embedding(service: Postprocess, vectors: Rows) -> None:
    index, counts = np.array([0, 0, 1], np.int32), np.array([3, 1, 7], np.int32)
    response = await service[0].Embed(
        request(vectors[:3], item_index=to_tensor(index), token_counts=to_tensor(counts))
    )
    expected = np.stack([0.75 * vectors[0] + 0.25 * vectors[1], vectors[2]])
    assert embeddings(response) == pytest.approx(normalized(expected), abs=1e-6)


async def test_large_calls_take_a_thread(bundle_repository: Path, vectors: Rows) -> None:
    extra = {"TRIPTYCH_COMPUTING_MAX_INLINE_BYTES": "0"}
    async with postprocess(bundle_repository, **extra) as (stub, _):
        response = await stub.Embed(request(vectors))
    assert embeddings(response) == pytest.approx(normalized(vectors), abs=1e-6)
    assert response.timings[0].queue.nanos > 0


async def test_items_fail_alone(service: Postprocess, vectors: Rows) -> None:
    broken = vectors[:4].copy()
    broken[1, 5] = np.nan
    late = types.CallContext(item_count=1)
    late.timeout.FromNanoseconds(0)
    contexts = [types.CallContext(item_count=2), late, types.CallContext(item_count=1)]
    response = await service[0].Embed(request(broken, contexts=contexts))
    errors = {error.index: type(from_status(error.status)) for error in response.errors}
    assert errors == {1: Internal, 2: DeadlineExceeded}
    assert embeddings(response) == pytest.approx(normalized(vectors[[0, 3]]), abs=1e-6)
    assert len(response.timings) == 3


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"vectors": np.zeros((2, 383), np.float32)}, "vectors.shape"),
        ({"vectors": np.zeros(384, np.float32)}, "vectors.shape"),
        ({"vectors": np.zeros((0, 384), np.float32)}, "vectors"),
        ({"vectors": np.zeros((2, 384), np.int32)}, "vectors.dtype"),
        ({"item_index": np.array([0], np.int32)}, "item_index"),
        ({"item_index": np.array([0, 2], np.int32)}, "item_index"),
        ({"token_counts": np.array([1], np.int32)}, "token_counts"),
    ],
)
async def test_bad_tensors(
    service: Postprocess, change: dict[str, NDArray[Any]], field: str
) -> None:
    tensors = {"vectors": np.zeros((2, HIDDEN), np.float32)} | change
    fields = {name: to_tensor(array) for name, array in tensors.items()}
    error = await refusal(service[0].Embed(pb.PostprocessServiceEmbedRequest(**fields)))  # type: ignore[arg-type]
    assert isinstance(error, InvalidArgument)
    assert error.field == field


async def test_a_tensor_must_have_the_bytes_of_its_shape(service: Postprocess) -> None:
    tensor = types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=[2**40, HIDDEN], data=b"1234")
    error = await refusal(service[0].Embed(pb.PostprocessServiceEmbedRequest(vectors=tensor)))
    assert error.field == "vectors.data"


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (pb.EmbedOptions(dimensions=385), "options.dimensions"),
        (pb.EmbedOptions(dtype=types.DATA_TYPE_INT32), "options.dtype"),
        (pb.EmbedOptions(dtype=types.DATA_TYPE_INT64), "options.dtype"),
    ],
)
async def test_bad_options(service: Postprocess, options: pb.EmbedOptions, field: str) -> None:
    error = await refusal(
        service[0].Embed(request(np.zeros((1, HIDDEN)).astype("f"), options=options))
    )
    assert type(error) is InvalidArgument
    assert error.field == field


async def test_contexts_must_cover_the_items(service: Postprocess, vectors: Rows) -> None:
    contexts = [types.CallContext(item_count=1)]
    error = await refusal(service[0].Embed(request(vectors, contexts=contexts)))
    assert error.field == "contexts.item_count"


async def test_similarity(service: Postprocess, vectors: Rows) -> None:
    response = await service[0].Similarity(pairs(vectors, [0, 1, 2, 0], [0, 2, 999, 1]))
    cosines = normalized(vectors) @ normalized(vectors).T
    expected = [1, cosines[1, 2], cosines[0, 1]]
    assert scores(response) == pytest.approx(expected, abs=1e-6)
    (error,) = response.errors
    assert (error.index, from_status(error.status).field) == (2, "second_index")


async def test_similarity_refuses_columns_that_do_not_fit(
    bundle_repository: Path, vectors: Rows
) -> None:
    async with postprocess(bundle_repository, TRIPTYCH_LIMITS_MAX_ITEMS="2") as (stub, _):
        unequal = await refusal(stub.Similarity(pairs(vectors[:2], [0, 1], [0])))
        none = await refusal(stub.Similarity(pairs(vectors[:2], [], [])))
        many = await refusal(stub.Similarity(pairs(vectors[:2], [0] * 3, [0] * 3)))
        rows = await refusal(stub.Embed(request(vectors[:3])))
    assert (unequal.field, none.field, many.field) == ("second_index", "first_index", "first_index")
    assert many.reason == rows.reason == PayloadTooLarge.reason


async def test_unknown_models(service: Postprocess, vectors: Rows) -> None:
    unknown = request(vectors, model=types.ModelRef(name="gpt"))
    assert isinstance(await refusal(service[0].Embed(unknown)), NotFound)
    other = request(vectors, model=types.ModelRef(digest="0" * 64))
    error = await refusal(service[0].Embed(other))
    assert isinstance(error, ModelNotLoaded)
    assert error.reason == "MODEL_NOT_LOADED"


async def test_health_readiness_and_metrics(service: Postprocess, vectors: Rows) -> None:
    stub, server = service
    await stub.Embed(request(vectors[:3]))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.operations_port}") as client:
        assert (await client.get("/readyz")).status_code == 200
        metrics = (await client.get("/metrics")).text
    count = 'triptych_postprocess_postprocess_duration_seconds_count{task="embed"} 1.0'
    assert count in metrics
    assert 'triptych_postprocess_items_total{task="embed"} 3.0' in metrics


async def test_without_a_model_it_is_not_ready(bundle_repository: Path) -> None:
    async with (
        postprocess(bundle_repository, TRIPTYCH_MODELS_NAMES="other") as (_, server),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.operations_port}") as client,
    ):
        assert (await client.get("/readyz")).status_code == 503


async def test_stopping_refuses_new_calls(bundle_repository: Path, vectors: Rows) -> None:
    async with postprocess(bundle_repository) as (stub, server):
        await stub.Embed(request(vectors))
        await server.stop()
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await stub.Embed(request(vectors))
        assert caught.value.code() == grpc.StatusCode.UNAVAILABLE
