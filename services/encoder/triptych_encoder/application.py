"""The encoder put together: repository → models → dispatcher → servicer."""

import asyncio
import logging
from collections.abc import Sequence
from functools import partial

import grpc.aio

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych_bundles.live import LiveModels, LiveRepository
from triptych_bundles.manifest import Bundle
from triptych_encoder.admission import Admission
from triptych_encoder.batcher import Batcher
from triptych_encoder.costing import Costing
from triptych_encoder.devices import Device, device_of
from triptych_encoder.dispatcher import Dispatcher
from triptych_encoder.lane import Lane
from triptych_encoder.model import EncoderModel, load_model
from triptych_encoder.runtime_metrics import RuntimeMetrics
from triptych_encoder.servicer import EncoderServicer
from triptych_encoder.settings import EncoderSettings
from triptych_encoder.telemetry import EncoderMetrics
from triptych_servicekit.model_metrics import ModelMetrics
from triptych_servicekit.registry import LiveRegistry

logger = logging.getLogger(__name__)


class EncoderApplication:
    """See servicekit's Application. `device` is what runs the graphs, by default the settings'."""

    name = "encoder"
    multiplexed = True

    def __init__(self, settings: EncoderSettings, device: Device | None = None) -> None:
        batching = settings.batching
        self._device = device or device_of(settings)
        workers = self._device.workers
        self._settings = settings
        self._admission = Admission(batching, workers)
        self.metrics = EncoderMetrics()
        self._shown = RuntimeMetrics(self.metrics)
        self._dispatcher = Dispatcher(
            Batcher(batching.max_batch_tokens),
            workers,
            self.metrics,
            observers=[self._admission.observe],
            niceness=self._device.niceness,
        )
        self._opening: dict[Lane, asyncio.Task[None]] = {}
        self._models = LiveModels(
            Bundle,
            partial(load_model, runtimes=self._device, find_costs=Costing(batching, workers)),
            settings.models,
            ModelMetrics(self.metrics),
            serve=self._serve,
            release=self._release,
        )
        self.bundles = LiveRepository(settings.models, [self._models])
        self.admin = settings.admin
        self.metrics.gauge(
            "queued_tokens", "Tokens that wait or run.", lambda: self._dispatcher.queued_tokens
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add EncoderService."""
        models = LiveRegistry(self._models, self._settings.limits.default_timeout)
        servicer = EncoderServicer(models, self._dispatcher, self._admission, self._settings)
        rpc.add_EncoderServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["EncoderService"].full_name]

    async def start(self) -> None:
        """Load every bundle that may serve; a bundle that may not does not stop the others."""
        await asyncio.to_thread(self._device.start)
        self._dispatcher.start()
        await self.bundles.start()

    def _serve(self, model: EncoderModel) -> None:
        self._dispatcher.add(model.lane)
        # beside serving, since it takes as long as loading did
        self._opening[model.lane] = asyncio.create_task(self._open_alone(model))
        self.metrics.publish_costs(model.name, model.lane.costs)
        self._shown.enter(model.serving)

    async def _open_alone(self, model: EncoderModel) -> None:
        if alone := await asyncio.to_thread(model.open_alone):
            model.lane.alone = alone
            logger.info("runs alone by several threads", extra={"model": model.serving.model})

    async def _release(self, model: EncoderModel) -> None:
        await self._dispatcher.remove(model.lane)
        await asyncio.gather(self._opening.pop(model.lane), return_exceptions=True)
        self._shown.leave(model.serving)
        # freeing hundreds of megabytes takes a while
        await asyncio.to_thread(model.lane.close)

    async def stop(self) -> None:
        """End the workers and release the graphs."""
        await self._dispatcher.stop()
        await self.bundles.stop()
        await asyncio.to_thread(self._device.close)

    def dead(self) -> Sequence[str]:
        """A loop that ended never comes back, nor does a device that failed."""
        workers = ["a worker has ended"] if self._dispatcher.broken() else []
        device = ["the device has failed"] if self._device.failure else []
        return [*workers, *device, *self.bundles.dead()]

    def unready(self) -> Sequence[str]:
        """Without a model there is nothing to serve."""
        return self._models.unready()
