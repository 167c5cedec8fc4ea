"""The service path: clients in processes of their own call the encoder over real gRPC."""

import asyncio
import contextlib
import itertools
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks.gpu_parts import workloads
from benchmarks.gpu_parts.report import Line
from benchmarks.gpu_parts.shapes import VOCABULARY, ModelShape, graph_path

CLIENTS: Final = 4
SLOTS: Final = 2
# Calls of a client at the same time, and different ones that it has: equal ones would share a run.
AT_ONCE: Final = 6
DIFFERENT: Final = 24
# Half of what a call may carry: the encoder gathers two of them and more.
CALL_TOKENS: Final = 8192
WARM_UP, SECONDS = 3.0, 6.0


def service(folder: Path, shape: ModelShape, arithmetic: bool) -> Iterator[Line]:
    """Tokens a second through dispatcher, batcher, servicer and gRPC."""
    context = multiprocessing.get_context("spawn")
    queue: Any = context.Queue()
    arguments = (str(folder), shape.name, arithmetic, queue)
    server = context.Process(target=_serve, args=arguments, daemon=True)
    server.start()
    try:
        port = queue.get(timeout=120)
        if isinstance(port, str):
            raise RuntimeError(port)
        yield Line(shape.name, f"service, {shape.length} tokens", _drive(context, port, shape),
                   "tokens/s")  # fmt: skip
    finally:
        server.kill()


def _drive(context: Any, port: int, shape: ModelShape) -> float:
    results: Any = context.Queue()
    arguments = [(port, shape.length, number, results) for number in range(CLIENTS)]
    clients = [context.Process(target=_call, args=one, daemon=True) for one in arguments]
    for client in clients:
        client.start()
    return float(sum(results.get(timeout=120) for _ in clients))


def _serve(folder: str, name: str, arithmetic: bool, queue: Any) -> None:
    from benchmarks.gpu_parts.shapes import SHAPES

    try:
        asyncio.run(_serving(Path(folder), SHAPES[name], arithmetic, queue))
    except Exception as error:
        queue.put(f"{type(error).__name__}: {error}")


async def _serving(folder: Path, shape: ModelShape, arithmetic: bool, queue: Any) -> None:
    from benchmarks.gpu_parts import devices
    from triptych_encoder.settings import EncoderSettings
    from triptych_servicekit.server import running
    from triptych_servicekit.settings import load

    ports = {"TRIPTYCH_LISTEN_PORT": "0", "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0"}
    settings = load(EncoderSettings, ports | {"TRIPTYCH_BATCHING_MAX_QUEUE_WAIT": "60"})
    path = graph_path(folder, shape.name, "packed")
    with devices.backend(path, arithmetic, SLOTS, record=True) as backend:
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


def _call(port: int, length: int, seed: int, results: Any) -> None:
    results.put(asyncio.run(_calling(port, length, seed)))


async def _calling(port: int, length: int, seed: int) -> float:
    """Tokens a second that one client got."""
    import grpc.aio

    from triptych.v1 import encoder_service_pb2_grpc as rpc

    requests = itertools.cycle([_request(length, seed, number) for number in range(DIFFERENT)])
    rows, done = CALL_TOKENS // length, 0
    started = time.monotonic()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = rpc.EncoderServiceStub(channel)

        async def keep_calling() -> None:
            nonlocal done
            while (now := time.monotonic() - started) < WARM_UP + SECONDS:
                answer = await stub.Encode(next(requests))
                if answer.errors:
                    raise RuntimeError(str(answer.errors[0]))
                if WARM_UP < now < WARM_UP + SECONDS:
                    done += 1

        await asyncio.gather(*(keep_calling() for _ in range(AT_ONCE)))
    return done * rows * length / SECONDS


def _request(length: int, seed: int, number: int) -> Any:
    import numpy as np

    from triptych.v1 import encoder_service_pb2 as pb
    from triptych.v1 import types_pb2 as types
    from triptych_servicekit.tensors import to_tensor

    rows = CALL_TOKENS // length
    found = workloads.sequences([length] * rows, seed * DIFFERENT + number + 100)
    batch = types.SequenceBatch(
        lengths=to_tensor(np.full(rows, length, np.int32)),
        input_ids=to_tensor(np.concatenate(found)),
    )
    spec = pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED, pooling=types.POOLING_MEAN)
    return pb.EncodeRequest(sequences=batch, outputs=[spec])
