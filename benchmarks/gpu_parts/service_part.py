"""The service path: clients in processes of their own call the encoder over real gRPC."""

import asyncio
import contextlib
import multiprocessing
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.gpu_parts import clients, workloads
from benchmarks.gpu_parts.report import Line
from benchmarks.gpu_parts.shapes import VOCABULARY, ModelShape, graph_path

PROCESSES: Final = multiprocessing.get_context("spawn")
CLIENTS: Final = 4
SLOTS: Final = 2
# Of what it does at its most, the share that a server is then given to do, at random times: that of
# BERT-large in MLPerf 4.1, 7,201 of 9,164 sequences a GPU.
PACE: Final = 0.79


def service(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """Tokens a second through dispatcher, batcher, servicer and gRPC; waiting at a share of it."""
    name = f"service, {shape.length} tokens"
    with _server(folder, shape, "arithmetic" if arithmetic else "cuda") as port:
        most = sum(_drive(port, shape, 0.0))
        yield Line(shape.name, name, most, "tokens/s")
        waited = [each for one in _drive(port, shape, PACE * most) for each in one]
        p50, p99 = np.quantile(waited, (0.5, 0.99)) * 1e3
        yield Line(shape.name, f"{name}, p50 at {PACE:.0%} of it", p50, "ms")
        yield Line(shape.name, f"{name}, p99 at {PACE:.0%} of it", p99, "ms")


def host(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:  # noqa: ARG001
    """The same around a GPU that does nothing: what the host could feed."""
    with _server(folder, shape, "idle") as port:
        most = sum(_drive(port, shape, 0.0))
    yield Line(shape.name, f"host alone, {shape.length} tokens", most, "tokens/s")


@contextlib.contextmanager
def _server(folder: Path, shape: ModelShape, device: str) -> Iterator[int]:
    """The port of an encoder in a process of its own."""
    queue: Any = PROCESSES.Queue()
    arguments = (str(folder), shape.name, device, queue)
    server = PROCESSES.Process(target=_serve, args=arguments, daemon=True)
    server.start()
    try:
        port = queue.get(timeout=120)
        if isinstance(port, str):
            raise RuntimeError(port)
        yield port
    finally:
        server.kill()


def _drive(port: int, shape: ModelShape, pace: float) -> list[Any]:
    """What each client found; `pace` is the tokens a second of all, 0 as many as can be."""
    results: Any = PROCESSES.Queue()
    arguments = [(port, shape.length, number, pace / CLIENTS, results) for number in range(CLIENTS)]
    started = [PROCESSES.Process(target=clients.call, args=one, daemon=True) for one in arguments]
    for client in started:
        client.start()
    found = [results.get(timeout=120) for _ in started]
    if failed := [one for one in found if isinstance(one, str)]:
        raise RuntimeError(failed[0])
    return found


def _serve(folder: str, name: str, device: str, queue: Any) -> None:
    from benchmarks.gpu_parts.shapes import SHAPES

    try:
        asyncio.run(_serving(Path(folder), SHAPES[name], device, queue))
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


async def _serving(folder: Path, shape: ModelShape, device: str, queue: Any) -> None:
    from benchmarks.gpu_parts import devices
    from triptych_encoder.settings import EncoderSettings
    from triptych_servicekit.server import running
    from triptych_servicekit.settings import load

    ports = {"TRIPTYCH_LISTEN_PORT": "0", "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0"}
    settings = load(EncoderSettings, ports | {"TRIPTYCH_BATCHING_MAX_QUEUE_WAIT": "60"})
    if device == "idle":
        opened = devices.idle(shape.hidden, SLOTS)
    else:
        path = graph_path(folder, shape.name, "packed")
        opened = devices.backend(path, device == "arithmetic", SLOTS, record=True)
    with opened as backend:
        async with running(_OneModel(settings, backend, SLOTS), settings) as server:
            queue.put(server.port)
            await asyncio.sleep(600)


class _OneModel:
    """The encoder with one model that comes from no bundle: all of the path but the loading."""

    name = "encoder"

    def __init__(self, settings: Any, backend: Any, workers: int) -> None:
        from triptych_encoder.admission import Admission
        from triptych_encoder.batcher import Batcher
        from triptych_encoder.calibration import measure
        from triptych_encoder.dispatcher import Dispatcher, Lane
        from triptych_encoder.model import EncoderModel
        from triptych_encoder.runtime_metrics import Serving
        from triptych_encoder.telemetry import EncoderMetrics

        self._settings = settings
        self.metrics = EncoderMetrics()
        self._admission = Admission(settings.batching, workers)
        self._dispatcher = Dispatcher(Batcher(0), workers, self.metrics, [self._admission.observe])
        longest = workloads.LONGEST
        costs = measure(backend, ["pooled.mean"], workers, longest, VOCABULARY - 1)
        lane = Lane(backend, longest, costs)
        self._dispatcher.add(lane)
        widths = {name: port.width for name, port in backend.ports.items()}
        serving = Serving("random@1", "cuda", "fp16")
        self._model = EncoderModel("random", lane, longest, widths, VOCABULARY, 2, "mean", serving)

    def register(self, server: Any) -> Sequence[str]:
        """Add EncoderService."""
        from triptych.v1 import encoder_service_pb2 as pb
        from triptych.v1 import encoder_service_pb2_grpc as rpc
        from triptych_encoder.servicer import EncoderServicer
        from triptych_servicekit.registry import LiveRegistry

        models: Any = LiveRegistry(self, 60)
        servicer = EncoderServicer(models, self._dispatcher, self._admission, self._settings)
        rpc.add_EncoderServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["EncoderService"].full_name]

    @contextlib.asynccontextmanager
    async def use(self, *_: Any) -> AsyncIterator[Any]:
        """The only model."""
        from triptych_servicekit.stores import Lent

        yield Lent("random", "1", "0" * 64, self._model)

    async def start(self) -> None:
        """Begin to work."""
        self._dispatcher.start()

    async def stop(self) -> None:
        """End the workers."""
        await self._dispatcher.stop()

    def dead(self) -> Sequence[str]:
        """Never here."""
        return []

    unready = dead
