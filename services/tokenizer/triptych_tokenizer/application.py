"""The tokenizer put together: repository → models → engine → servicer."""

from collections.abc import Sequence

import grpc.aio

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych_bundles.live import LiveModels, LiveRepository
from triptych_bundles.manifest import Bundle
from triptych_servicekit.cores import available_cores
from triptych_servicekit.model_metrics import ModelMetrics
from triptych_servicekit.registry import LiveRegistry
from triptych_tokenizer.engine import Engine
from triptych_tokenizer.loading import load_tokenizer, size
from triptych_tokenizer.servicer import TokenizerServicer
from triptych_tokenizer.settings import TokenizerSettings
from triptych_tokenizer.telemetry import TokenizerMetrics
from triptych_tokenizer.workers import Workers


class TokenizerApplication:
    """See servicekit's MultiplexedApplication."""

    name = "tokenizer"
    multiplexed = True

    def __init__(self, settings: TokenizerSettings) -> None:
        tokenizing = settings.tokenizing
        self._settings = settings
        self._workers = Workers(
            tokenizing.threads or available_cores(), tokenizing.max_queued_characters
        )
        self.metrics = TokenizerMetrics()
        self._models = LiveModels(
            Bundle, load_tokenizer, settings.models, ModelMetrics(self.metrics), size=size
        )
        self.bundles = LiveRepository(settings.models, [self._models])
        self.admin = settings.admin
        self._engine = Engine(self._workers, tokenizing, self.metrics)
        self.metrics.gauge(
            "queued_characters", "Characters that wait or run.", lambda: self._workers.load
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add TokenizerService."""
        limits = self._settings.limits
        models = LiveRegistry(self._models, limits.default_timeout)
        servicer = TokenizerServicer(models, self._engine, limits)
        rpc.add_TokenizerServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["TokenizerService"].full_name]

    async def start(self) -> None:
        """Load every bundle that may serve; a bundle that may not does not stop the others."""
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
