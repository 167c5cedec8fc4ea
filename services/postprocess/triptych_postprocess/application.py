"""Postprocess put together: repository → models → servicer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc.aio

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import postprocess_service_pb2_grpc as rpc
from triptych_bundles import Repository
from triptych_bundles.loading import load_bundles
from triptych_postprocess.heads import Classifier
from triptych_postprocess.loading import PostprocessModel, load_heads, load_model
from triptych_postprocess.servicer import PostprocessServicer
from triptych_postprocess.settings import PostprocessSettings
from triptych_postprocess.telemetry import PostprocessMetrics
from triptych_postprocess.workers import Workers
from triptych_servicekit.cores import available_cores
from triptych_servicekit.registry import Registry


class PostprocessApplication:
    """See servicekit's Application."""

    name = "postprocess"

    def __init__(self, settings: PostprocessSettings) -> None:
        computing = settings.computing
        self._settings = settings
        self._models: Registry[PostprocessModel] = Registry()
        self._heads: Registry[Classifier] = Registry()
        self._workers = Workers(computing.threads or available_cores(), computing.max_inline_bytes)
        self.metrics = PostprocessMetrics()

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add PostprocessService."""
        limits = self._settings.limits
        servicer = PostprocessServicer(
            self._models, self._heads, self._workers, self.metrics, limits, self._settings.computing
        )
        rpc.add_PostprocessServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["PostprocessService"].full_name]

    async def start(self) -> None:
        """Load every model and head that may serve; one that may not does not stop the others."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        models = self._settings.models
        repository = Repository(Path(models.repository))
        for bundle, model in load_bundles(repository, models.names, load_model):
            self._models.add(bundle.name, bundle.version, bundle.digest, model)
        for own, head in load_heads(repository.scan().heads, models.names):
            self._heads.add(own.name, own.version, own.digest, head)

    async def stop(self) -> None:
        """End the threads."""
        self._workers.close()

    def dead(self) -> Sequence[str]:
        """Nothing here can break for good."""
        return []

    def unready(self) -> Sequence[str]:
        """Without a model there is nothing to serve."""
        return [] if self._models.held() else ["no model is loaded"]
