"""The encoder put together: repository → models → dispatcher → servicer."""

import asyncio
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import grpc.aio

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych_bundles.loading import load_bundles
from triptych_bundles.repository import Repository
from triptych_encoder.admission import Admission
from triptych_encoder.batcher import Batcher
from triptych_encoder.dispatcher import Dispatcher
from triptych_encoder.model import EncoderModel, OpenBackend, load_model
from triptych_encoder.onnx_backend import OnnxBackend
from triptych_encoder.servicer import EncoderServicer
from triptych_encoder.settings import EncoderSettings
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.cores import available_cores
from triptych_servicekit.registry import Registry


class EncoderApplication:
    """See servicekit's Application. `open_backend` is the seam to what runs the graph."""

    name = "encoder"

    def __init__(self, settings: EncoderSettings, open_backend: OpenBackend = OnnxBackend) -> None:
        batching = settings.batching
        workers = settings.runtime.workers or available_cores()
        self._settings = settings
        self._open_backend = open_backend
        self._models: Registry[EncoderModel] = Registry()
        self._admission = Admission(batching, workers)
        self.metrics = EncoderMetrics()
        batcher = Batcher(batching.max_batch_tokens, batching.run_overhead_tokens)
        self._dispatcher = Dispatcher(
            batcher, workers, self.metrics, observers=[self._admission.observe]
        )
        self.metrics.gauge(
            "queued_tokens", "Tokens that wait or run.", lambda: self._dispatcher.queued_tokens
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add EncoderService."""
        servicer = EncoderServicer(self._models, self._dispatcher, self._admission, self._settings)
        rpc.add_EncoderServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["EncoderService"].full_name]

    async def start(self) -> None:
        """Load every bundle that may serve; a bundle that may not does not stop the others."""
        await asyncio.to_thread(self._load)
        self._dispatcher.start()

    def _load(self) -> None:
        models = self._settings.models
        repository = Repository(Path(models.repository))
        load = partial(load_model, open_backend=self._open_backend)
        for bundle, model in load_bundles(repository, models.names, load):
            self._dispatcher.add(model.lane)
            self._models.add(bundle.name, bundle.version, bundle.digest, model)

    async def stop(self) -> None:
        """End the workers and release the graphs."""
        await self._dispatcher.stop()
        for held in self._models.held():
            held.value.lane.backend.close()

    def dead(self) -> Sequence[str]:
        """A loop that ended never comes back."""
        return ["a worker has ended"] if self._dispatcher.broken() else []

    def unready(self) -> Sequence[str]:
        """Without a model there is nothing to serve."""
        return [] if self._models.held() else ["no model is loaded"]
