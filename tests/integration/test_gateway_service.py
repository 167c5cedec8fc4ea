"""GatewayService over real gRPC."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest
import pytest_asyncio

from triptych.v1 import gateway_service_pb2 as pb
from triptych.v1 import gateway_service_pb2_grpc as rpc
from triptych.v1 import postprocess_service_pb2 as postprocess
from triptych.v1 import tokenizer_service_pb2 as tokenizer
from triptych.v1 import types_pb2 as types
from triptych_gateway.local_application import serving
from triptych_gateway.local_platform import LocalPlatform, local_bundle, token_vectors
from triptych_gateway.settings import GatewaySettings, Requests
from triptych_servicekit.errors import (
    DeadlineExceeded,
    InvalidArgument,
    NotFound,
    Overloaded,
    TriptychError,
)
from triptych_servicekit.status import from_rpc_error, from_status
from triptych_servicekit.tensors import DTYPES, from_tensor, to_tensor

pytestmark = pytest.mark.asyncio(loop_scope="module")

DIMENSIONS = 16
SETTINGS = GatewaySettings(requests=Requests(max_client_batch_size=4, max_input_characters=600))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stub() -> AsyncIterator["rpc.GatewayServiceAsyncStub"]:
    platform = LocalPlatform([local_bundle(dimensions=DIMENSIONS)])
    async with (
        serving(platform, SETTINGS) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.GatewayServiceStub(channel)


def texts(*items: str) -> list[tokenizer.TokenizeInput]:
    return [tokenizer.TokenizeInput(text=item) for item in items]


def array(tensor: types.Tensor) -> np.ndarray:
    return from_tensor(tensor, "tensor", dtypes=DTYPES, dimensions=(1, 2))


def mean(*ids: int) -> np.ndarray:
    vector: np.ndarray = token_vectors(ids, DIMENSIONS).mean(axis=0)
    return vector


async def refused(call: Any) -> TriptychError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_embed_all_kinds_of_input(stub: "rpc.GatewayServiceAsyncStub") -> None:
    ids = tokenizer.TokenIds(ids=to_tensor(np.array([100, 101], np.int32)))
    inputs = [
        *texts("ab"),
        tokenizer.TokenizeInput(pair=tokenizer.TextPair(first="a", second="b")),
        tokenizer.TokenizeInput(token_ids=ids),
    ]
    options = postprocess.EmbedOptions(normalize=False)
    answer = await stub.Embed(pb.EmbedRequest(inputs=inputs, options=options))
    wanted = [mean(1, 100, 101, 2), mean(1, 100, 2, 101, 2), mean(1, 100, 101, 2)]
    np.testing.assert_allclose(array(answer.result.embeddings), wanted, rtol=1e-6)
    assert (answer.model.name, answer.model.version) == ("local", "1")
    assert answer.usage.prompt_tokens == 13
    assert array(answer.usage.kept_tokens).tolist() == [4, 5, 4]
    assert answer.timing.total.ToNanoseconds() > 0


async def test_options_are_heard(stub: "rpc.GatewayServiceAsyncStub") -> None:
    answer = await stub.Embed(
        pb.EmbedRequest(
            inputs=texts("abcdef"),
            text=pb.TextOptions(truncation=tokenizer.TRUNCATION_LEFT, max_length=4),
            pooling=types.POOLING_MEAN,
            options=postprocess.EmbedOptions(dimensions=5, dtype=types.DATA_TYPE_FLOAT16),
        )
    )
    vector = mean(1, 104, 105, 2)[:5]
    got = array(answer.result.embeddings)
    assert got.dtype == np.float16
    np.testing.assert_allclose(got[0], vector / np.linalg.norm(vector), rtol=2e-3)
    assert array(answer.usage.total_tokens).tolist() == [8]
    assert array(answer.usage.kept_tokens).tolist() == [4]


async def test_a_bad_item_fails_alone(stub: "rpc.GatewayServiceAsyncStub") -> None:
    answer = await stub.Embed(
        pb.EmbedRequest(
            inputs=texts("", "ab", "x" * 300),
            text=pb.TextOptions(truncation=tokenizer.TRUNCATION_ERROR),
        )
    )
    errors = {error.index: from_status(error.status) for error in answer.errors}
    assert {index: (error.reason, error.field) for index, error in errors.items()} == {
        0: ("EMPTY_INPUT", "inputs[0]"),
        2: ("INPUT_TOO_LONG", "inputs[2]"),
    }
    assert answer.result.embeddings.shape == [1, DIMENSIONS]
    assert array(answer.usage.kept_tokens).tolist() == [0, 4, 0]


async def test_when_all_items_fail_the_call_still_answers(
    stub: "rpc.GatewayServiceAsyncStub",
) -> None:
    answer = await stub.Embed(pb.EmbedRequest(inputs=texts("", "")))
    assert [error.index for error in answer.errors] == [0, 1]
    assert answer.result.embeddings.shape == [0, DIMENSIONS]


async def test_similarity(stub: "rpc.GatewayServiceAsyncStub") -> None:
    pairs = [
        tokenizer.TextPair(first="ab", second="ab"),
        tokenizer.TextPair(first="ab", second=""),
        tokenizer.TextPair(first="ab", second="c"),
    ]
    answer = await stub.Similarity(pb.SimilarityRequest(pairs=pairs))
    one, two = mean(1, 100, 101, 2), mean(1, 102, 2)
    cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
    np.testing.assert_allclose(array(answer.result.scores), [1, cosine], rtol=1e-5)
    assert from_status(answer.errors[0].status).field == "pairs[1].second"
    assert array(answer.usage.kept_tokens).tolist() == [4, 0, 3]


async def test_models(stub: "rpc.GatewayServiceAsyncStub") -> None:
    model = (await stub.ListModels(pb.ListModelsRequest())).models[0]
    assert (model.model.name, model.task, model.dimensions) == ("local", "embed", DIMENSIONS)
    assert (model.max_length, model.pooling, model.normalize) == (256, types.POOLING_MEAN, True)
    assert list(model.prompt_names) == ["query"]
    assert model.create_time.seconds == 1_700_000_000


@pytest.mark.parametrize(
    ("request_", "kind", "field"),
    [
        (pb.EmbedRequest(), InvalidArgument, "inputs"),
        (pb.EmbedRequest(inputs=texts(*"abcde")), InvalidArgument, "inputs"),
        (pb.EmbedRequest(inputs=[tokenizer.TokenizeInput()]), InvalidArgument, "inputs[0]"),
        (
            pb.EmbedRequest(inputs=texts("a"), options=postprocess.EmbedOptions(dimensions=99)),
            InvalidArgument,
            "dimensions",
        ),
        (
            pb.EmbedRequest(inputs=texts("a"), text=pb.TextOptions(max_length=257)),
            InvalidArgument,
            "max_length",
        ),
        (
            pb.EmbedRequest(inputs=texts("a"), text=pb.TextOptions(stride=1)),
            InvalidArgument,
            "text.stride",
        ),
        (
            pb.EmbedRequest(
                inputs=texts("a"),
                text=pb.TextOptions(truncation=tokenizer.TRUNCATION_WINDOW, stride=256),
            ),
            InvalidArgument,
            "stride",
        ),
        (
            pb.EmbedRequest(
                inputs=texts("a"), chunking=pb.CHUNKING_LATE, pooling=types.POOLING_CLS
            ),
            InvalidArgument,
            "chunks",
        ),
        (
            pb.EmbedRequest(inputs=texts("a"), model=types.ModelRef(name="nothing")),
            NotFound,
            "model",
        ),
    ],
)
async def test_a_wrong_request_names_the_field(
    stub: "rpc.GatewayServiceAsyncStub",
    request_: pb.EmbedRequest,
    kind: type[TriptychError],
    field: str,
) -> None:
    error = await refused(stub.Embed(request_))
    assert (type(error), error.field) == (kind, field)


async def test_full_and_late() -> None:
    for platform, kind in (
        (LocalPlatform([local_bundle()], max_concurrent=0), Overloaded),
        (LocalPlatform([local_bundle()], seconds_per_token=10), DeadlineExceeded),
    ):
        async with (
            serving(platform) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            request = pb.EmbedRequest(inputs=texts("a"))
            call = rpc.GatewayServiceStub(channel).Embed(request, timeout=0.3)
            assert isinstance(await refused(call), kind)


async def test_a_cancelled_call_cancels_its_work() -> None:
    platform = LocalPlatform([local_bundle()], seconds_per_token=10)
    async with (
        serving(platform) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        call = rpc.GatewayServiceStub(channel).Embed(pb.EmbedRequest(inputs=texts("a")))
        await until(lambda: platform.in_progress == 1)
        call.cancel()
        await until(lambda: platform.cancelled == 1)


async def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + 5
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.01)
