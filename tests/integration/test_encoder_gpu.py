"""The encoder that packs: over real gRPC, when its GPU fails, and where there is none."""

import asyncio
import contextlib
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import grpc.aio
import httpx
import onnx
import pytest
from onnx import helper

from tests.integration.test_encoder_outputs import (
    HIDDEN_SIZE,
    LABELS,
    WIDTHS,
    ArithmeticApplication,
    numbers,
    request,
    segments,
)
from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles.manifest import Bundle
from triptych_encoder.application import EncoderApplication
from triptych_encoder.backend import RaggedBatch
from triptych_encoder.gpu.arithmetic_executor import ArithmeticExecutor
from triptych_encoder.gpu.backend import PackedBackend
from triptych_encoder.gpu.thread import GpuThread
from triptych_encoder.runtimes import FP16, PACKED_GRAPH, Runtime
from triptych_encoder.settings import EncoderSettings
from triptych_servicekit.server import running
from triptych_servicekit.settings import load

PATIENCE = 30.0
PORTS = {
    "TRIPTYCH_LISTEN_PORT": "0",
    "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
    "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
}
FATAL = 17


class PackedApplication(ArithmeticApplication):
    """The same, with a GPU that is arithmetic."""

    def make_backend(self) -> PackedBackend:
        self.thread = GpuThread()
        self.executor = ArithmeticExecutor(HIDDEN_SIZE, LABELS, 16, poison=13)
        return PackedBackend(lambda: self.executor, self.thread, 0)

    async def stop(self) -> None:
        await super().stop()
        self.backend.close()
        self.thread.close()


@contextlib.asynccontextmanager
async def encoder() -> AsyncIterator[tuple["rpc.EncoderServiceAsyncStub", PackedApplication]]:
    settings = load(EncoderSettings, PORTS)
    application = PackedApplication(settings, WIDTHS)
    async with (
        running(application, settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        yield rpc.EncoderServiceStub(channel), application


async def test_one_run_gives_every_output_of_ragged_sequences() -> None:
    kinds = [
        pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.POOLING_MEAN),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_HIDDEN, dtype=types.DATA_TYPE_FLOAT16),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_TOKEN_LOGITS),
        pb.OutputSpec(kind=pb.OUTPUT_KIND_SEGMENTS, segments=segments((1, 1, 3), (0, 0, 1))),
    ]
    async with encoder() as (stub, application):
        warm = len(application.executor.steps)
        answer = await stub.Encode(request(kinds))
        assert len(application.executor.steps) == warm + 1
    mean, hidden, logits, segment = map(numbers, answer.outputs)
    assert [row[0] for row in mean] == [1.5, 4, 6]
    assert [row[1] for row in hidden] == [2, 4, 6, 8, 10, 12]
    assert [row[0] for row in logits] == [-1, -2, -3, -4, -5, -6]
    assert [row[0] for row in segment] == [4.5, 1]


async def test_a_bad_item_fails_alone() -> None:
    async with encoder() as (stub, _):
        spec = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.POOLING_CLS)
        answer = await stub.Encode(request([spec], [[1], [13], [3]]))
    assert [error.index for error in answer.errors] == [1]
    assert [row[0] for row in numbers(answer.outputs[0])] == [1, 3]


class FailingGpu:
    """A device whose GPU can be made to fail; see Device."""

    workers = 2
    niceness = 0

    def __init__(self) -> None:
        self.thread = GpuThread()

    def candidates(self, bundle: Bundle) -> list[Runtime]:
        return [Runtime("arithmetic", FP16, PACKED_GRAPH, self.open)]

    @property
    def failure(self) -> str:
        return self.thread.failure

    def open(self, graph: Path) -> PackedBackend:
        executor = ArithmeticExecutor(fatal=FATAL)
        return PackedBackend(lambda: executor, self.thread, 0)

    def start(self) -> None:
        """It is ready."""

    def close(self) -> None:
        self.thread.close()


async def test_a_gpu_that_fails_is_the_end_of_the_process(tmp_path: Path) -> None:
    settings = load(EncoderSettings, PORTS | {"TRIPTYCH_MODELS_REPOSITORY": str(tmp_path)})
    device = FailingGpu()
    application = EncoderApplication(settings, device)
    async with running(application, settings) as server, httpx.AsyncClient() as client:
        livez = f"http://127.0.0.1:{server.operations_port}/livez"
        assert (await client.get(livez)).status_code == 200
        dying = asyncio.create_task(server.died())
        backend = device.open(tmp_path)
        with pytest.raises(RuntimeError, match="fatal"):
            await asyncio.to_thread(backend.run, RaggedBatch.of([[FATAL]]), ["pooled.mean"])
        answer = await client.get(livez)
        assert (answer.status_code, answer.json()["problems"]) == (503, ["the device has failed"])
        assert list(await asyncio.wait_for(dying, PATIENCE)) == ["the device has failed"]


def test_a_process_without_a_gpu_does_not_fall_back_to_the_cpu(tmp_path: Path) -> None:
    environment = os.environ | PORTS
    environment |= {"TRIPTYCH_MODELS_REPOSITORY": str(tmp_path), "TRIPTYCH_RUNTIME_DEVICE": "cuda"}
    done = subprocess.run(
        [sys.executable, "-m", "triptych_encoder"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    assert "the service failed" in done.stderr


def test_the_probe_notices_the_cpu() -> None:
    from triptych_encoder.gpu.device import PROBE, probe_provider
    from triptych_encoder.gpu.session import PROVIDER

    value = helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    result = helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])
    graph = helper.make_graph([helper.make_node("Add", ["x", "x"], ["y"])], "p", [value], [result])
    opset = helper.make_opsetid("", 17)
    assert onnx.load_from_string(PROBE) == helper.make_model(
        graph, opset_imports=[opset], ir_version=8
    )
    with (
        pytest.warns(UserWarning, match=PROVIDER),
        pytest.raises(RuntimeError, match=f"{PROVIDER} is not active, only CPU"),
    ):
        probe_provider()


@pytest.mark.parametrize("dead", [True, False])
def test_a_dead_application_ends_its_process(dead: bool) -> None:
    """With exit code 1, in the time that a stop takes; a signal ends a sound one with 0."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, str(dead)],
        env=os.environ | PORTS,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == int(dead), done.stderr
    assert ("the service cannot go on: it broke" in done.stderr) == dead


PROGRAM = """
import os, signal, sys
from tests.integration.test_serving import Application, Settings
from triptych_servicekit.command import main
doomed = sys.argv.pop() == "True"
class Dying(Application):
    async def start(self):
        if not doomed:
            os.kill(os.getpid(), signal.SIGTERM)
    def dead(self):
        return ["it broke"] if doomed else []
sys.exit(main(Settings, lambda settings: Dying(), ""))
"""
