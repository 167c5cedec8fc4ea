"""The encoder over real gRPC, with the real model and with the arithmetic backend."""

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

import grpc
import grpc.aio
import httpx
import numpy as np
import pytest

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles.golden import read_golden
from triptych_bundles.repository import Repository
from triptych_encoder.application import EncoderApplication
from triptych_encoder.settings import EncoderSettings
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound, Overloaded
from triptych_servicekit.server import Server, running
from triptych_servicekit.settings import load
from triptych_servicekit.status import from_rpc_error, from_status
from triptych_servicekit.tensors import DTYPES, from_tensor, to_tensor

POOLED = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED)


def settings_for(repository: Path, **extra: str) -> EncoderSettings:
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
        "TRIPTYCH_MODELS_REPOSITORY": str(repository),
        **extra,
    }
    return load(EncoderSettings, environment)


@contextlib.asynccontextmanager
async def encoder(
    repository: Path, **extra: str
) -> AsyncIterator[tuple["rpc.EncoderServiceAsyncStub", Server]]:
    settings = settings_for(repository, **extra)
    async with (
        running(EncoderApplication(settings), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.EncoderServiceStub(channel), server


def request(
    sequences: Sequence[Sequence[int]],
    outputs: Sequence[pb.OutputSpec] = (POOLED,),
    contexts: Sequence[types.CallContext] = (),
    model: types.ModelRef | None = None,
) -> pb.EncodeRequest:
    ids = np.concatenate([np.array(ids, np.int32) for ids in sequences])
    lengths = np.array([len(ids) for ids in sequences], np.int32)
    batch = types.SequenceBatch(lengths=to_tensor(lengths), input_ids=to_tensor(ids))
    return pb.EncodeRequest(model=model, sequences=batch, outputs=outputs, contexts=contexts)


def rows(tensor: types.Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return from_tensor(tensor, "output", dtypes=DTYPES, dimensions=(2,)).astype(np.float64)


async def refusal(
    call: "grpc.aio.UnaryUnaryCall[pb.EncodeRequest, pb.EncodeResponse]",
) -> Exception:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return from_rpc_error(caught.value)


async def test_every_pooling_of_every_golden_text(bundle_repository: Path) -> None:
    bundle = Repository(bundle_repository).bundles()[0]
    golden = read_golden(bundle)
    poolings = {"pooled.cls": 1, "pooled.mean": 2, "pooled.last_token": 3}
    specs = [
        pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.Pooling.ValueType(poolings[name]))
        for name in golden.outputs
    ]
    async with encoder(bundle_repository) as (stub, _):
        response = await stub.Encode(request([s.tolist() for s in golden.sequences()], specs))
    assert response.model.digest == bundle.digest
    for tensor, expected in zip(response.outputs, golden.outputs.values(), strict=True):
        actual = rows(tensor)
        cosines = (actual * expected).sum(1) / (
            np.linalg.norm(actual, axis=1) * np.linalg.norm(expected.astype(np.float64), axis=1)
        )
        assert cosines.min() >= 0.99999


async def test_a_bad_item_fails_alone_and_survivors_stay_in_order(bundle_repository: Path) -> None:
    sequences = [[101, 7592, 102], [101, 999_999, 102], [101] * 300, [101, 2088, 102]]
    async with encoder(bundle_repository) as (stub, _):
        response = await stub.Encode(request(sequences))
        alone = await stub.Encode(request([sequences[0], sequences[3]]))
    assert [error.index for error in response.errors] == [1, 2]
    errors = [from_status(error.status) for error in response.errors]
    assert [error.reason for error in errors] == ["INVALID_ARGUMENT", "INPUT_TOO_LONG"]
    assert "256" in errors[1].message
    np.testing.assert_allclose(rows(response.outputs[0]), rows(alone.outputs[0]), atol=1e-6)


async def test_hidden_states_and_half_precision(bundle_repository: Path) -> None:
    specs = [
        pb.OutputSpec(kind=pb.OUTPUT_KIND_HIDDEN, dtype=types.DATA_TYPE_FLOAT16),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.POOLING_MEAN),
    ]
    async with encoder(bundle_repository) as (stub, _):
        response = await stub.Encode(request([[101, 7592, 102], [101, 102]], specs))
    hidden, pooled = map(rows, response.outputs)
    assert hidden.shape == (5, 384)
    np.testing.assert_allclose(hidden[:3].mean(axis=0), pooled[0], atol=2e-3)
    np.testing.assert_allclose(hidden[3:].mean(axis=0), pooled[1], atol=2e-3)


async def test_refusals_name_the_field_and_the_limit(bundle_repository: Path) -> None:
    hidden = [pb.OutputSpec(kind=pb.OUTPUT_KIND_HIDDEN)]
    short = request([[101, 102]])
    short.sequences.lengths.CopyFrom(to_tensor(np.array([3], np.int32)))
    wrong_type = request([[101, 102]])
    wrong_type.sequences.input_ids.CopyFrom(to_tensor(np.zeros(2, np.float32)))
    unset = request([[101, 102]], [pb.OutputSpec()])
    pooling = request([[101, 102]], [pb.OutputSpec(kind=1, pooling=99)])  # type: ignore[arg-type]
    no_head = request([[101, 102]], [pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS)])
    no_logits = request([[101, 102]], [pb.OutputSpec(kind=pb.OUTPUT_KIND_LOGITS)])
    counts = request([[101, 102]], contexts=[types.CallContext(item_count=2)])
    unknown = request([[101, 102]], model=types.ModelRef(name="nope"))
    stale = request([[101, 102]], model=types.ModelRef(digest="0" * 64))
    limit = {"TRIPTYCH_RUNTIME_MAX_TOKEN_OUTPUT_BYTES": "1024"}
    async with encoder(bundle_repository, **limit) as (stub, _):
        error = await refusal(stub.Encode(request([[101, 102]], hidden)))
        assert isinstance(error, InvalidArgument)
        assert error.reason == "OUTPUT_TOO_LARGE"
        assert "1024" in str(error)
        for bad, field in (
            (short, "sequences.lengths"),
            (wrong_type, "sequences.input_ids.dtype"),
            (unset, "outputs[0].kind"),
            (counts, "contexts.item_count"),
            (pooling, "outputs[0].pooling"),
            (no_head, "outputs[0].kind"),
            (no_logits, "outputs[0].kind"),
        ):
            error = await refusal(stub.Encode(bad))
            assert isinstance(error, InvalidArgument)
            assert error.field == field
        assert isinstance(await refusal(stub.Encode(unknown)), NotFound)
        assert isinstance(await refusal(stub.Encode(stale)), ModelNotLoaded)


async def test_callers_have_their_own_deadlines_and_timings(bundle_repository: Path) -> None:
    late = types.CallContext(item_count=1)
    late.timeout.FromMilliseconds(0)
    contexts = [types.CallContext(item_count=2), late, types.CallContext(item_count=1)]
    async with encoder(bundle_repository) as (stub, _):
        response = await stub.Encode(request([[101, 7592, 102]] * 4, contexts=contexts))
    assert [error.index for error in response.errors] == [2]
    assert from_status(response.errors[0].status).reason == "DEADLINE_EXCEEDED"
    assert len(response.timings) == 3
    assert response.timings[0].compute.ToMicroseconds() > 0
    assert response.timings[0].batch_id


async def test_late_chunks_are_means_of_their_tokens(bundle_repository: Path) -> None:
    segments = np.array([[1, 1, 4], [0, 1, 2], [1, 0, 5], [3, 0, 2]], np.int32)
    specs = [
        pb.OutputSpec(kind=pb.OUTPUT_KIND_SEGMENTS, segments=to_tensor(segments)),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_HIDDEN),
        POOLED,
    ]
    sequences = [[101, 7592, 102], [101, 2023, 2003, 2204, 102], [101, 999_999], [101, 102]]
    async with encoder(bundle_repository) as (stub, _):
        response = await stub.Encode(request(sequences, specs))
    chunks, hidden, pooled = map(rows, response.outputs)
    second, last = hidden[3:8], hidden[8:10]
    expected = [second[1:4].mean(axis=0), hidden[1], second.mean(axis=0), last.mean(axis=0)]
    np.testing.assert_allclose(chunks, expected, atol=1e-6)
    np.testing.assert_allclose(chunks[2:], pooled[1:], atol=1e-5)


async def test_equal_sequences_are_computed_once(bundle_repository: Path) -> None:
    sequences = [[101, 7592, 102], [101, 2088, 102]] * 3
    async with encoder(bundle_repository) as (stub, server):
        response = await stub.Encode(request(sequences))
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"http://127.0.0.1:{server.operations_port}/metrics")).text
    assert "triptych_encoder_sequences_total 2.0" in metrics
    assert "triptych_encoder_shared_sequences_total 4.0" in metrics
    vectors = rows(response.outputs[0])
    assert np.array_equal(vectors[:2], vectors[2:4])
    assert not np.allclose(vectors[0], vectors[1])


async def test_a_full_queue_refuses_at_once(bundle_repository: Path) -> None:
    settings = {"TRIPTYCH_BATCHING_MAX_QUEUED_TOKENS": "1024"}
    async with encoder(bundle_repository, **settings) as (stub, _):
        calls = [stub.Encode(request([[101] * 250] * 2)) for _ in range(8)]
        results = await asyncio.gather(*calls, return_exceptions=True)
    errors = [from_rpc_error(r) for r in results if isinstance(r, grpc.aio.AioRpcError)]
    assert 1 <= len(errors) < 8
    assert all(isinstance(error, Overloaded) for error in errors)
    assert all(error.retry_after is not None for error in errors)


async def test_a_cancelled_call_leaves_nothing_behind(bundle_repository: Path) -> None:
    async with encoder(bundle_repository) as (stub, server):
        sequences = [[101, *[1000 + number] * 198, 102] for number in range(160)]
        calls = [stub.Encode(request(sequences[start::4])) for start in range(4)]
        await asyncio.sleep(0.05)
        for call in calls:
            call.cancel()
        started = time.monotonic()
        await stub.Encode(request([[101, 102]]))
        assert time.monotonic() - started < 5
        async with httpx.AsyncClient() as client:
            metrics = (await client.get(f"http://127.0.0.1:{server.operations_port}/metrics")).text
    assert 'triptych_encoder_dropped_total{reason="cancelled"}' in metrics


async def test_stopping_answers_what_was_read(bundle_repository: Path) -> None:
    settings = settings_for(bundle_repository)
    server = Server(EncoderApplication(settings), settings)
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel:
        stub = rpc.EncoderServiceStub(channel)
        await stub.Encode(request([[101, 102]]))
        sequences = [[101] * length for length in range(41, 121)]
        calls = [asyncio.ensure_future(stub.Encode(request(sequences[i::4]))) for i in range(4)]
        await asyncio.sleep(0.1)
        await server.stop()
        responses = await asyncio.gather(*calls)
    assert all(rows(response.outputs[0]).shape == (20, 384) for response in responses)
