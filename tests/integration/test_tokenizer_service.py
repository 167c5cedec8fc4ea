"""The tokenizer over real gRPC, with the real model."""

import asyncio
import contextlib
import shutil
from collections.abc import AsyncIterator, Awaitable, Sequence
from pathlib import Path
from typing import Any

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_health.v1 import health_pb2, health_pb2_grpc
from numpy.typing import NDArray

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle, Repository, read_golden
from triptych_servicekit.errors import (
    DeadlineExceeded,
    InvalidArgument,
    ModelNotLoaded,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    TriptychError,
)
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import load
from triptych_servicekit.status import DETAILS_KEY, from_rpc_error, from_status
from triptych_servicekit.tensors import INT32, from_tensor, to_tensor
from triptych_tokenizer.application import TokenizerApplication
from triptych_tokenizer.settings import TokenizerSettings

SERVICE = "triptych.v1.TokenizerService"
HELLO = [101, 7592, 2088, 102]

Tokenizer = tuple["rpc.TokenizerServiceAsyncStub", Server]


def settings_for(repository: Path, **extra: str) -> TokenizerSettings:
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
        "TRIPTYCH_MODELS_REPOSITORY": str(repository),
        **extra,
    }
    return load(TokenizerSettings, environment)


@contextlib.asynccontextmanager
async def tokenizer(repository: Path, **extra: str) -> AsyncIterator[Tokenizer]:
    settings = settings_for(repository, **extra)
    async with (
        running(TokenizerApplication(settings), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.TokenizerServiceStub(channel), server


@pytest.fixture
async def service(bundle_repository: Path) -> AsyncIterator[Tokenizer]:
    async with tokenizer(bundle_repository) as started:
        yield started


@pytest.fixture
def bundle(bundle_repository: Path) -> Bundle:
    return Repository(bundle_repository).bundles()[0]


def texts(*values: str) -> list[pb.TokenizeInput]:
    return [pb.TokenizeInput(text=value) for value in values]


def column(tensor: types.Tensor) -> NDArray[np.int32]:
    return from_tensor(tensor, "column", dtypes=INT32, dimensions=(1,))


def sequences(response: pb.TokenizeResponse) -> list[list[int]]:
    lengths = column(response.sequences.lengths)
    ids = column(response.sequences.input_ids)
    return [row.tolist() for row in np.split(ids, np.cumsum(lengths)[:-1])]


def ready(ids: Sequence[int], dtype: Any = np.int32) -> pb.TokenizeInput:
    tensor = to_tensor(np.array(ids, dtype))
    return pb.TokenizeInput(token_ids=pb.TokenIds(ids=tensor))


async def refusal(call: Awaitable[Any]) -> TriptychError:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_golden_texts_become_golden_ids(service: Tokenizer, bundle: Bundle) -> None:
    golden = read_golden(bundle)
    response = await service[0].Tokenize(pb.TokenizeRequest(inputs=texts(*golden.texts)))
    assert sequences(response) == [row.tolist() for row in golden.sequences()]
    assert column(response.kept_tokens).tolist() == golden.lengths.tolist()
    assert column(response.total_tokens).max() > bundle.max_length
    assert (response.model.name, response.model.digest) == (bundle.name, bundle.digest)
    assert not response.sequences.HasField("item_index")
    assert not response.sequences.HasField("token_type_ids")


async def test_text_pair_and_ready_ids_in_one_call(service: Tokenizer) -> None:
    pair = pb.TokenizeInput(pair=pb.TextPair(first="hello", second="world"))
    inputs = [*texts("Hello world"), pair, ready([7592, 2088]), ready(HELLO)]
    response = await service[0].Tokenize(pb.TokenizeRequest(inputs=inputs))
    assert sequences(response) == [HELLO, [101, 7592, 102, 2088, 102], HELLO, HELLO]
    types_of_pair = column(response.sequences.token_type_ids)[4:9]
    assert types_of_pair.tolist() == [0, 0, 0, 1, 1]


async def test_bad_items_fail_alone(service: Tokenizer) -> None:
    pair = pb.TokenizeInput(pair=pb.TextPair(first="a", second=""))
    inputs = [
        *texts("", "hello world", "x" * 65537),
        pair,
        pb.TokenizeInput(),
        ready([30522]),
        ready([7], np.int64),
        *texts("hello world"),
    ]
    response = await service[0].Tokenize(pb.TokenizeRequest(inputs=inputs))
    errors = {error.index: from_status(error.status) for error in response.errors}
    assert sequences(response) == [HELLO, HELLO]
    assert column(response.sequences.item_index).tolist() == [1, 7]
    assert column(response.total_tokens).tolist() == [0, 4, 0, 0, 0, 0, 0, 4]
    assert {index: error.field for index, error in errors.items()} == {
        0: "inputs[0].text",
        2: "inputs[2].text",
        3: "inputs[3].pair.second",
        4: "inputs[4]",
        5: "inputs[5].token_ids.ids",
        6: "inputs[6].token_ids.ids.dtype",
    }
    assert errors[0].reason == errors[3].reason == "EMPTY_INPUT"
    assert "at most 65536" in errors[2].message
    assert all(type(error) is InvalidArgument for error in errors.values())


async def test_options(service: Tokenizer) -> None:
    options = pb.TokenizeOptions(
        truncation=pb.TRUNCATION_WINDOW,
        max_length=4,
        stride=1,
        add_special_tokens=True,
        include_offsets=True,
        include_word_ids=True,
        include_special_tokens_mask=True,
        include_sequence_ids=True,
    )
    request = pb.TokenizeRequest(inputs=texts("hello my world"), options=options)
    response = await service[0].Tokenize(request)
    batch = response.sequences
    assert sequences(response) == [[101, 7592, 2026, 102], [101, 2026, 2088, 102]]
    assert column(batch.item_index).tolist() == [0, 0]
    assert column(batch.window_start).tolist() == [0, 1]
    assert column(batch.word_ids).tolist() == [-1, 0, 1, -1, -1, 1, 2, -1]
    assert column(batch.special_tokens_mask).tolist() == [1, 0, 0, 1] * 2
    assert column(batch.sequence_ids).tolist() == [-1, 0, 0, -1] * 2
    offsets = from_tensor(batch.offsets, "offsets", dtypes=INT32, dimensions=(2,))
    assert offsets[1:3].tolist() == [[0, 5], [6, 8]]


@pytest.mark.parametrize(
    ("options", "field"),
    [
        (pb.TokenizeOptions(max_length=257), "options.max_length"),
        (pb.TokenizeOptions(max_length=2), "options.max_length"),
        (pb.TokenizeOptions(prompt_name="poem"), "options.prompt_name"),
        (pb.TokenizeOptions(truncation=9), "options.truncation"),  # type: ignore[arg-type]
        (pb.TokenizeOptions(truncation=pb.TRUNCATION_WINDOW, stride=254), "options.stride"),
    ],
)
async def test_bad_options(service: Tokenizer, options: pb.TokenizeOptions, field: str) -> None:
    request = pb.TokenizeRequest(inputs=texts("a"), options=options)
    error = await refusal(service[0].Tokenize(request))
    assert isinstance(error, InvalidArgument)
    assert error.field == field


async def test_items_that_do_not_fit_the_options_fail_alone(service: Tokenizer) -> None:
    pair = pb.TokenizeInput(pair=pb.TextPair(first="a", second="b"))
    windows = pb.TokenizeOptions(truncation=pb.TRUNCATION_WINDOW)
    request = pb.TokenizeRequest(inputs=[pair, *texts("hello world")], options=windows)
    response = await service[0].Tokenize(request)
    assert sequences(response) == [HELLO]
    assert from_status(response.errors[0].status).field == "inputs[0].pair"
    windows.max_length, windows.max_windows = 4, 2
    response = await service[0].Tokenize(
        pb.TokenizeRequest(inputs=texts("a b c d e", "a b c d"), options=windows)
    )
    assert from_status(response.errors[0].status).reason == "TOO_MANY_WINDOWS"
    assert column(response.sequences.item_index).tolist() == [1, 1]
    strict = pb.TokenizeOptions(truncation=pb.TRUNCATION_ERROR, max_length=4)
    request = pb.TokenizeRequest(inputs=texts("hello my world", "hello world"), options=strict)
    response = await service[0].Tokenize(request)
    assert from_status(response.errors[0].status).reason == "INPUT_TOO_LONG"
    assert column(response.total_tokens).tolist() == [5, 4]


async def test_each_caller_gets_its_timing_and_the_expired_one_an_error(
    service: Tokenizer,
) -> None:
    late = types.CallContext(item_count=2)
    late.timeout.FromMilliseconds(0)
    contexts = [types.CallContext(item_count=1), late, types.CallContext(item_count=1)]
    inputs = texts("hello world", "too", "late", "hello world")
    response = await service[0].Tokenize(pb.TokenizeRequest(inputs=inputs, contexts=contexts))
    assert sequences(response) == [HELLO, HELLO]
    assert [error.index for error in response.errors] == [1, 2]
    assert isinstance(from_status(response.errors[0].status), DeadlineExceeded)
    assert len(response.timings) == 3
    assert all(timing.compute.nanos > 0 for timing in response.timings)


async def test_contexts_must_cover_the_items(service: Tokenizer) -> None:
    contexts = [types.CallContext(item_count=2)]
    request = pb.TokenizeRequest(inputs=texts("a"), contexts=contexts)
    assert (await refusal(service[0].Tokenize(request))).field == "contexts.item_count"


async def test_unknown_models(service: Tokenizer) -> None:
    stub, _ = service
    unknown = pb.TokenizeRequest(model=types.ModelRef(name="gpt"), inputs=texts("a"))
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await stub.Tokenize(unknown)
    assert caught.value.code() == grpc.StatusCode.NOT_FOUND
    assert isinstance(from_rpc_error(caught.value), NotFound)
    details = dict(caught.value.trailing_metadata() or ())[DETAILS_KEY]
    assert isinstance(details, bytes)
    info = ErrorInfo()
    assert Status.FromString(details).details[0].Unpack(info)
    assert (info.reason, info.domain) == ("NOT_FOUND", "triptych.dev")
    other = pb.TokenizeRequest(model=types.ModelRef(digest="0" * 64), inputs=texts("a"))
    error = await refusal(stub.Tokenize(other))
    assert isinstance(error, ModelNotLoaded)
    assert error.reason == "MODEL_NOT_LOADED"


async def test_bytes_that_are_no_text_break_nothing(service: Tokenizer) -> None:
    stub, server = service
    # field 2 (inputs), in it field 1 (text), in it half a surrogate pair, which is no UTF-8
    raw = b"\x12\x05\x0a\x03\xed\xa0\x80"
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        method: Any = channel.unary_unary(f"/{SERVICE}/Tokenize")
        with pytest.raises(grpc.aio.AioRpcError):
            await method(raw)
    response = await stub.Tokenize(pb.TokenizeRequest(inputs=texts("\x00\x1b\u202e hello world")))
    assert sequences(response) == [HELLO]


async def test_limits_of_a_call(bundle_repository: Path) -> None:
    extra = {
        "TRIPTYCH_LIMITS_MAX_ITEMS": "2",
        "TRIPTYCH_TOKENIZING_MAX_CALL_CHARACTERS": "100",
        "TRIPTYCH_TOKENIZING_MAX_QUEUED_CHARACTERS": "50",
        "TRIPTYCH_TOKENIZING_MAX_CALL_TOKENS": "10",
    }
    async with tokenizer(bundle_repository, **extra) as (stub, _):
        empty = await refusal(stub.Tokenize(pb.TokenizeRequest()))
        many = await refusal(stub.Tokenize(pb.TokenizeRequest(inputs=texts("a", "b", "c"))))
        large = await refusal(stub.Tokenize(pb.TokenizeRequest(inputs=texts("x" * 101))))
        full = await refusal(stub.Tokenize(pb.TokenizeRequest(inputs=texts("x" * 60))))
        tokens = await refusal(stub.Tokenize(pb.TokenizeRequest(inputs=texts("a b c", "d e f g"))))
        served = await stub.Tokenize(pb.TokenizeRequest(inputs=texts("hello world")))
    assert isinstance(empty, InvalidArgument)
    assert empty.field == many.field == large.field == tokens.field == "inputs"
    assert "at most 2" in many.message
    assert {many.reason, large.reason, tokens.reason} == {PayloadTooLarge.reason}
    assert isinstance(full, Overloaded)
    assert full.retry_after
    assert sequences(served) == [HELLO]


async def test_texts_of_many_chunks_come_back_in_order(bundle_repository: Path) -> None:
    extra = {"TRIPTYCH_TOKENIZING_CHUNK_CHARACTERS": "64"}
    many = [f"number {number} " * (number % 7 + 1) for number in range(300)]
    async with tokenizer(bundle_repository, **extra) as (stub, _):
        chunked = await stub.Tokenize(pb.TokenizeRequest(inputs=texts(*many)))
        single = [await stub.Tokenize(pb.TokenizeRequest(inputs=texts(text))) for text in many]
    assert sequences(chunked) == [sequences(response)[0] for response in single]


async def test_detokenize(service: Tokenizer) -> None:
    ids = np.array([*HELLO, 30522, 7592], np.int32)
    lengths = np.array([4, 1, 1], np.int32)
    batch = types.SequenceBatch(lengths=to_tensor(lengths), input_ids=to_tensor(ids))
    contexts = [types.CallContext(item_count=2), types.CallContext(item_count=1)]
    request = pb.DetokenizeRequest(sequences=batch, contexts=contexts)
    response = await service[0].Detokenize(request)
    assert list(response.texts) == ["hello world", "", "hello"]
    assert [error.index for error in response.errors] == [1]
    assert len(response.timings) == 2
    special = pb.DetokenizeRequest(sequences=batch, include_special_tokens=True)
    assert (await service[0].Detokenize(special)).texts[0] == "[CLS] hello world [SEP]"


@pytest.mark.parametrize("lengths", [[1], [0, 2], [-1, 3], [2**31 - 1, 3], []])
async def test_detokenize_refuses_lengths_that_do_not_fit(
    service: Tokenizer, lengths: list[int]
) -> None:
    batch = types.SequenceBatch(
        lengths=to_tensor(np.array(lengths, np.int32)),
        input_ids=to_tensor(np.array([1, 2], np.int32)),
    )
    error = await refusal(service[0].Detokenize(pb.DetokenizeRequest(sequences=batch)))
    assert error.field == "sequences.lengths"


async def test_health_readiness_and_metrics(service: Tokenizer) -> None:
    stub, server = service
    await stub.Tokenize(pb.TokenizeRequest(inputs=texts("hello world", "", "a " * 300)))
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        answer = await health.Check(health_pb2.HealthCheckRequest(service=SERVICE))
    assert answer.status == health_pb2.HealthCheckResponse.SERVING
    async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.operations_port}") as client:
        assert (await client.get("/readyz")).status_code == 200
        metrics = (await client.get("/metrics")).text
    assert "triptych_tokenizer_tokenize_duration_seconds_count 1.0" in metrics
    assert "triptych_tokenizer_tokens_total 260.0" in metrics
    assert "triptych_tokenizer_items_total 3.0" in metrics
    assert "triptych_tokenizer_truncated_items_total 1.0" in metrics
    assert 'triptych_tokenizer_failed_items_total{reason="EMPTY_INPUT"} 1.0' in metrics
    assert "triptych_tokenizer_queued_characters 0.0" in metrics


async def test_a_broken_bundle_leaves_the_others_serving(bundle: Bundle, tmp_path: Path) -> None:
    for version in ("1", "2"):
        folder = tmp_path / bundle.name / version
        shutil.copytree(bundle.path, folder, ignore=shutil.ignore_patterns("*.onnx"))
        manifest = folder / "bundle.yaml"
        manifest.write_text(manifest.read_text().replace("version: '1'", f"version: '{version}'"))
    (tmp_path / bundle.name / "2" / "tokenizer.json").write_text("{}")
    async with tokenizer(tmp_path) as (stub, _):
        response = await stub.Tokenize(pb.TokenizeRequest(inputs=texts("hello world")))
    assert response.model.version == "1"


async def test_without_a_model_it_is_not_ready(bundle_repository: Path) -> None:
    async with (
        tokenizer(bundle_repository, TRIPTYCH_MODELS_NAMES="other") as (_, server),
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{server.operations_port}") as client,
    ):
        answer = await client.get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["problems"] == ["no model is loaded"]


async def test_calls_in_progress_are_answered_when_it_stops(bundle_repository: Path) -> None:
    extra = {"TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0", "TRIPTYCH_TOKENIZING_THREADS": "1"}
    settings = settings_for(bundle_repository, **extra)
    request = pb.TokenizeRequest(inputs=texts(*["a text of several words " * 20] * 1000))
    async with running(TokenizerApplication(settings), settings) as server:
        channel = grpc.aio.insecure_channel(f"127.0.0.1:{server.port}")
        stub = rpc.TokenizerServiceStub(channel)
        await stub.Tokenize(pb.TokenizeRequest(inputs=texts("a")))
        call = asyncio.ensure_future(stub.Tokenize(request))
        await in_progress(server)
    assert len(sequences(await call)) == 1000
    await channel.close()


async def in_progress(server: Server) -> None:
    """Wait until the server computes for a call."""
    address = f"http://127.0.0.1:{server.operations_port}/metrics"
    async with asyncio.timeout(10), httpx.AsyncClient() as client:
        while True:
            metrics = (await client.get(address)).text
            if "triptych_tokenizer_in_flight_requests 1.0" in metrics:
                return
