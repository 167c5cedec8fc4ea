"""Every output of one pass over real gRPC, from a backend whose numbers are known."""

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any

import grpc
import grpc.aio
import numpy as np
import pytest

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_encoder.admission import Admission
from triptych_encoder.arithmetic_backend import ArithmeticBackend
from triptych_encoder.batcher import Batcher
from triptych_encoder.dispatcher import Dispatcher, Lane
from triptych_encoder.model import EncoderModel
from triptych_encoder.runtime_metrics import Serving
from triptych_encoder.servicer import EncoderServicer
from triptych_encoder.settings import EncoderSettings
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.registry import LiveRegistry
from triptych_servicekit.server import running
from triptych_servicekit.settings import load
from triptych_servicekit.status import from_rpc_error
from triptych_servicekit.stores import Lent
from triptych_servicekit.tensors import DTYPES, from_tensor, to_tensor

HIDDEN_SIZE, LABELS = 4, 3
WIDTHS = MappingProxyType(
    {"last_hidden_state": HIDDEN_SIZE, "logits": LABELS, "token_logits": LABELS}
    | {f"pooled.{pooling}": HIDDEN_SIZE for pooling in ("cls", "mean", "last_token")}
)
SERVING = Serving("toy@1", "arithmetic", "fp32")
SEQUENCES = ([1, 2], [3, 4, 5], [6])
HALF = types.DATA_TYPE_FLOAT16


class ArithmeticApplication:
    """The encoder with one model, whose graph is arithmetic."""

    name = "encoder"

    def __init__(self, settings: EncoderSettings, widths: Mapping[str, int]) -> None:
        self.backend = self.make_backend()
        self.metrics = EncoderMetrics()
        self._settings = settings
        self._dispatcher = Dispatcher(Batcher(64), 1, self.metrics)
        lane = Lane(self.backend, 16, self.backend.cost_model(8))
        self._dispatcher.add(lane)
        self._model = EncoderModel("toy", lane, 16, widths, 100, 2, "mean", SERVING)

    def make_backend(self) -> Any:
        """What runs the graph."""
        return ArithmeticBackend(HIDDEN_SIZE, labels=LABELS, poison=13)

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        admission = Admission(self._settings.batching, 1)
        models = LiveRegistry(self, 60)
        servicer = EncoderServicer(models, self._dispatcher, admission, self._settings)
        rpc.add_EncoderServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["EncoderService"].full_name]

    @contextlib.asynccontextmanager
    async def use(
        self, name: str, version: str, digest: str, timeout: float
    ) -> AsyncIterator[Lent[EncoderModel]]:
        yield Lent("toy", "1", "0" * 64, self._model)

    async def start(self) -> None:
        self._dispatcher.start()

    async def stop(self) -> None:
        await self._dispatcher.stop()

    def dead(self) -> Sequence[str]:
        return []

    def unready(self) -> Sequence[str]:
        return []


@contextlib.asynccontextmanager
async def encoder(
    widths: Mapping[str, int] = WIDTHS, **extra: str
) -> AsyncIterator[tuple["rpc.EncoderServiceAsyncStub", ArithmeticBackend]]:
    ports = {"TRIPTYCH_LISTEN_PORT": "0", "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0"}
    settings = load(EncoderSettings, ports | {"TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05"} | extra)
    application = ArithmeticApplication(settings, widths)
    async with (
        running(application, settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.EncoderServiceStub(channel), application.backend


def request(
    outputs: Sequence[pb.OutputSpec], sequences: Sequence[Sequence[int]] = SEQUENCES
) -> pb.EncodeRequest:
    ids = np.array([number for row in sequences for number in row], np.int32)
    lengths = np.array([len(row) for row in sequences], np.int32)
    batch = types.SequenceBatch(lengths=to_tensor(lengths), input_ids=to_tensor(ids))
    return pb.EncodeRequest(sequences=batch, outputs=outputs)


def segments(*rows: tuple[int, ...], width: int = 3) -> types.Tensor:
    return to_tensor(np.array(rows, np.int32).reshape(-1, width))


def numbers(tensor: types.Tensor) -> list[list[float]]:
    array = from_tensor(tensor, "output", dtypes=DTYPES, dimensions=(2,))
    return list(array.astype(np.float64).tolist())


def first_column(tensor: types.Tensor) -> list[float]:
    return [row[0] for row in numbers(tensor)]


async def refusal(
    call: "grpc.aio.UnaryUnaryCall[pb.EncodeRequest, pb.EncodeResponse]",
) -> InvalidArgument:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidArgument)
    return error


async def test_all_kinds_come_from_one_pass() -> None:
    outputs = [
        pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.POOLING_CLS),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS, dtype=HALF),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS, head="token_logits"),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_LOGITS),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_HIDDEN),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_SEGMENTS, segments=segments((1, 1, 3), (0, 0, 1))),
        pb.OutputSpec(
            kind=pb.OUTPUT_KIND_SEGMENTS,
            segments=segments((1, 0, 3)),
            pooling=types.POOLING_LAST_TOKEN,
        ),
    ]
    async with encoder() as (stub, backend):
        response = await stub.Encode(request(outputs))
    assert len(backend.shapes) == 1
    cls, mean, half, token_logits, logits, hidden, chunks, last = response.outputs
    assert first_column(cls) == [1, 3, 6]
    assert first_column(mean) == [1.5, 4, 6]
    assert half.dtype == HALF
    assert half.shape == token_logits.shape == [6, LABELS]
    assert numbers(half) == numbers(token_logits)
    assert first_column(token_logits) == [-1, -2, -3, -4, -5, -6]
    assert numbers(logits) == [[-3, -6, -9], [-12, -24, -36], [-6, -12, -18]]
    assert first_column(hidden) == [1, 2, 3, 4, 5, 6]
    assert numbers(chunks) == [[4.5, 9, 13.5, 18], [1, 2, 3, 4]]
    assert first_column(last) == [5]


async def test_rows_of_failed_sequences_are_left_out_of_every_output() -> None:
    outputs = [
        pb.OutputSpec(kind=pb.OUTPUT_KIND_LOGITS),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS, head="toy"),
        pb.OutputSpec(
            kind=pb.OUTPUT_KIND_SEGMENTS, segments=segments((2, 0, 1), (1, 0, 1), (3, 0, 2))
        ),
    ]
    sequences = [[1, 2], [3, 13], [6], [8, 9], [7, 100]]
    async with encoder() as (stub, _):
        response = await stub.Encode(request(outputs, sequences))
    assert [error.index for error in response.errors] == [1, 4]
    logits, token_logits, chunks = response.outputs
    assert first_column(logits) == [-3, -6, -17]
    assert first_column(token_logits) == [-1, -2, -6, -8, -9]
    assert first_column(chunks) == [6, 8.5]


@pytest.mark.parametrize(
    ("kind", "field"),
    [
        (pb.OUTPUT_KIND_POOLED, "outputs[1].pooling"),
        (pb.OUTPUT_KIND_HIDDEN, "outputs[1].kind"),
        (pb.OUTPUT_KIND_SEGMENTS, "outputs[1].kind"),
        (pb.OUTPUT_KIND_TOKEN_LOGITS, "outputs[1].kind"),
    ],
)
async def test_an_output_that_the_graph_lacks_is_refused(
    kind: pb.OutputKind.ValueType, field: str
) -> None:
    logits = pb.OutputSpec(kind=pb.OUTPUT_KIND_LOGITS)
    other = pb.OutputSpec(kind=kind, segments=segments((0, 0, 1)))
    async with encoder(widths={"logits": LABELS}) as (stub, _):
        error = await refusal(stub.Encode(request([logits, other])))
    assert error.field == field
    assert "the model has no output" in error.message


async def test_an_unknown_token_head_is_refused() -> None:
    spec = pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS, head="other")
    async with encoder() as (stub, _):
        error = await refusal(stub.Encode(request([spec])))
    assert error.field == "outputs[0].head"


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (types.Tensor(), "outputs[0].segments.dtype"),
        (segments(), "outputs[0].segments"),
        (segments((0, 0), width=2), "outputs[0].segments.shape"),
        (segments((0, 0, 1), (3, 0, 1)), "outputs[0].segments"),
        (segments((-1, 0, 1)), "outputs[0].segments"),
        (segments((1, -1, 1)), "outputs[0].segments"),
        (segments((1, 1, 1)), "outputs[0].segments"),
        (segments((1, 0, 4)), "outputs[0].segments"),
        (segments(*[(0, 0, 1)] * 5), "outputs[0].segments"),
    ],
)
async def test_segments_out_of_bounds_are_refused_before_any_work(
    tensor: types.Tensor, field: str
) -> None:
    spec = pb.OutputSpec(kind=pb.OUTPUT_KIND_SEGMENTS, segments=tensor)
    async with encoder(TRIPTYCH_RUNTIME_MAX_SEGMENTS="4") as (stub, backend):
        error = await refusal(stub.Encode(request([spec])))
    assert error.field == field
    assert not backend.shapes


async def test_large_outputs_are_refused_before_memory_is_taken() -> None:
    logits = pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS)
    hidden = pb.OutputSpec(kind=pb.OUTPUT_KIND_HIDDEN, dtype=HALF)
    sequences = [[1] * 10] * 6  # 720 and 480 bytes
    async with encoder(TRIPTYCH_RUNTIME_MAX_TOKEN_OUTPUT_BYTES="1024") as (stub, _):
        await stub.Encode(request([logits], sequences))
        error = await refusal(stub.Encode(request([logits, hidden], sequences)))
    assert error.reason == "OUTPUT_TOO_LARGE"
    assert "1200 bytes, the limit is 1024" in error.message


async def test_an_answer_larger_than_a_message_is_refused_before_any_work() -> None:
    pooled = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED)
    async with encoder(TRIPTYCH_LIMITS_MAX_MESSAGE_BYTES="65536") as (stub, backend):
        error = await refusal(stub.Encode(request([pooled] * 3, [[1]] * 2000)))
    assert error.reason == "OUTPUT_TOO_LARGE"
    assert not backend.shapes
