"""The service path: clients in processes of their own call the encoder over real gRPC."""

import asyncio
import contextlib
import itertools
import multiprocessing
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.gpu_parts import workloads
from benchmarks.gpu_parts.report import Line
from benchmarks.gpu_parts.shapes import VOCABULARY, ModelShape, graph_path

PROCESSES: Final = multiprocessing.get_context("spawn")
CLIENTS: Final = 4
SLOTS: Final = 2
# Calls of a client at the same time, and different ones that it has: equal ones would share a run.
AT_ONCE: Final = 6
DIFFERENT: Final = 24
# Half of what a call may carry: the encoder gathers two of them and more.
CALL_TOKENS: Final = 8192
WARM_UP, SECONDS = 3.0, 6.0
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
    clients = [PROCESSES.Process(target=_call, args=one, daemon=True) for one in arguments]
    for client in clients:
        client.start()
    return [results.get(timeout=120) for _ in clients]


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


def _call(port: int, length: int, seed: int, pace: float, results: Any) -> None:
    client = _pacing(port, length, seed, pace) if pace else _calling(port, length, seed)
    results.put(asyncio.run(client))


async def _pacing(port: int, length: int, seed: int, pace: float) -> list[float]:
    """Seconds from when each call was due, at random times, to its answer."""
    import grpc.aio

    from triptych.v1 import encoder_service_pb2_grpc as rpc

    requests = itertools.cycle([_request(length, seed, number) for number in range(DIFFERENT)])
    numbers, rate = np.random.default_rng(seed), pace / (CALL_TOKENS // length * length)
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = rpc.EncoderServiceStub(channel)

        async def call(due: float) -> float:
            await stub.Encode(next(requests))
            return time.monotonic() - due

        started = due = time.monotonic()
        calls = []
        while due < started + WARM_UP + SECONDS:
            due += numbers.exponential(1 / rate)
            await asyncio.sleep(due - time.monotonic())
            calls.append(asyncio.create_task(call(due)))
        waited = await asyncio.gather(*calls)
    return waited[int(len(waited) * WARM_UP / (WARM_UP + SECONDS)) :]


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
