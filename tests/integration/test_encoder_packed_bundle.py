"""A bundle for a GPU through the whole encoder: its packed graph runs, as numpy defines it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from tests.integration.live import write_source
from tests.integration.test_encoder_gpu import PORTS
from tests.integration.test_encoder_service import POOLED, request, rows
from tests.unit.models.contrib_reference import run_graph
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych_bundles import BundleError, Repository, read_golden
from triptych_bundles.manifest import Bundle
from triptych_encoder.application import EncoderApplication
from triptych_encoder.backend import HIDDEN, TOKEN_LOGITS
from triptych_encoder.cost import CostModel
from triptych_encoder.devices import device_of
from triptych_encoder.gpu.arithmetic_executor import ArithmeticExecutor
from triptych_encoder.gpu.backend import PackedBackend
from triptych_encoder.gpu.device import Gpu
from triptych_encoder.gpu.executor import Port, Step
from triptych_encoder.gpu.thread import GpuThread
from triptych_encoder.model import load_model
from triptych_encoder.runtimes import FP16, PACKED_GRAPH, Runtime
from triptych_encoder.settings import EncoderSettings
from triptych_models.__main__ import main
from triptych_servicekit.server import running
from triptych_servicekit.settings import load


class ReferenceExecutor(ArithmeticExecutor):
    """Runs a graph's operators in numpy, in memory and order as the other."""

    def __init__(self, graph: Path) -> None:
        super().__init__()
        self._model = onnx.load(graph)
        known = {item.key: item.value for item in self._model.metadata_props}
        self.max_length = int(known["max_length"])
        self.inputs = frozenset(item.name for item in self._model.graph.input)
        self.outputs = {item.name: _port(item) for item in self._model.graph.output}

    def _compute(self, inputs: Mapping[str, NDArray[Any]], step: Step) -> None:
        for name, values in run_graph(self._model, inputs).items():
            self._array(step.outputs[name])[...] = values


def _port(item: onnx.ValueInfoProto) -> Port:
    kind = item.type.tensor_type
    axis = "tokens" if item.name in (HIDDEN, TOKEN_LOGITS) else "ranges"
    dtype = helper.tensor_dtype_to_np_dtype(kind.elem_type)
    return Port(axis, kind.shape.dim[1].dim_value, dtype)  # type: ignore[arg-type]


class NumpyGpu:
    """See Device."""

    workers = 2
    niceness = 0
    failure = ""

    def __init__(self) -> None:
        self.thread = GpuThread()

    def candidates(self, bundle: Bundle) -> list[Runtime]:
        return [Runtime("numpy", FP16, PACKED_GRAPH, self.open)]

    def open(self, graph: Path) -> PackedBackend:
        return PackedBackend(lambda: ReferenceExecutor(graph), self.thread, 0, record=False)

    def start(self) -> None:
        """It is ready."""

    def close(self) -> None:
        self.thread.close()


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model compiled for a GPU, under the name of `tiny-bert`."""
    folder = tmp_path_factory.mktemp("packed")
    source = write_source(folder / "source", seed=7)
    arguments = ["compile", str(source), "--name", "tiny-bert", "--target", "gpu"]
    assert main([*arguments, "--repository", str(folder / "models")]) == 0
    return folder / "models"


async def test_a_bundle_passes_the_gate_and_gives_its_golden_vectors(repository: Path) -> None:
    environment = {"TRIPTYCH_MODELS_REPOSITORY": str(repository)}
    # what runs cost need not be measured
    environment |= {"TRIPTYCH_BATCHING_RUN_OVERHEAD_TOKENS": "64"}
    settings = load(EncoderSettings, PORTS | environment)
    golden = read_golden(Repository(repository).find_model("tiny-bert"))
    async with (
        running(EncoderApplication(settings, NumpyGpu()), settings) as server,
        grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
    ):
        answer = await rpc.EncoderServiceStub(channel).Encode(
            request(list(map(list, golden.sequences())), [POOLED])
        )
    assert not answer.errors
    actual, expected = rows(answer.outputs[0]), golden.outputs["pooled.mean"].astype(np.float64)
    norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
    assert ((actual * expected).sum(axis=1) / norms).min() > 0.999


def test_a_bundle_without_a_packed_graph_is_refused(bundle_repository: Path) -> None:
    bundle = Repository(bundle_repository).find_model("all-minilm-l6-v2")
    device = NumpyGpu()
    with pytest.raises(BundleError, match="has no gpu-fp16-packed graph"):
        load_model(bundle, device, lambda *_: CostModel(16))
    device.close()


def test_the_settings_choose_the_device(bundle_repository: Path) -> None:
    bundle = Repository(bundle_repository).find_model("all-minilm-l6-v2")
    cpu = device_of(load(EncoderSettings, {"TRIPTYCH_RUNTIME_WORKERS": "3"}))
    assert (cpu.workers, cpu.candidates(bundle)[0].variant) == (3, "cpu-fp32")
    gpu = device_of(load(EncoderSettings, {"TRIPTYCH_RUNTIME_DEVICE": "cuda"}))
    assert isinstance(gpu, Gpu)
    assert (gpu.workers, gpu.candidates(bundle)[0].variant) == (2, "gpu-fp16-packed")
    gpu.close()
