"""Postprocess put together: repository → models and heads → servicer."""

from collections.abc import Sequence

import grpc.aio

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych_bundles.live import LiveModels, LiveRepository
from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_postprocess.lending import Lender
from triptych_postprocess.loading import load_head, load_model, size
from triptych_postprocess.servicer import PostprocessServicer
from triptych_postprocess.settings import PostprocessSettings
from triptych_postprocess.telemetry import PostprocessMetrics
from triptych_postprocess.workers import Workers
from triptych_servicekit.cores import available_cores
from triptych_servicekit.model_metrics import ModelMetrics
from triptych_servicekit.registry import LiveRegistry


class PostprocessApplication:
    """See servicekit's MultiplexedApplication."""

    name = "postprocess"
    multiplexed = True

    def __init__(self, settings: PostprocessSettings) -> None:
        computing, models = settings.computing, settings.models
        self._settings = settings
        self._workers = Workers(computing.threads or available_cores(), computing.max_inline_bytes)
        self.metrics = PostprocessMetrics()
        counted = ModelMetrics(self.metrics)
        self._models = LiveModels(Bundle, load_model, models, counted, size=size)
        self._heads = LiveModels(HeadBundle, load_head, models, counted, size=size)
        self.bundles = LiveRepository(models, [self._models, self._heads])
        self.admin = settings.admin

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add PostprocessService."""
        limits, computing = self._settings.limits, self._settings.computing
        lender = Lender(
            LiveRegistry(self._models, limits.default_timeout),
            LiveRegistry(self._heads, limits.default_timeout),
        )
        servicer = PostprocessServicer(lender, self._workers, self.metrics, limits, computing)
        rpc.add_PostprocessServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["PostprocessService"].full_name]

    async def start(self) -> None:
        """Load every model and head that may serve; one that may not does not stop the others."""
        await self.bundles.start()

    async def stop(self) -> None:
        """End the threads."""
        self._workers.close()
        await self.bundles.stop()

    def dead(self) -> Sequence[str]:
        """A watch that ended never comes back."""
        return self.bundles.dead()

    def unready(self) -> Sequence[str]:
        """Without a model there is nothing to serve."""
        return self._models.unready()
