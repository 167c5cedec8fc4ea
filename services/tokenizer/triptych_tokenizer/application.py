"""The tokenizer put together: repository → models → engine → servicer."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import grpc.aio

from triptych.v1 import tokenizer_service_pb2 as pb
from triptych.v1 import tokenizer_service_pb2_grpc as rpc
from triptych_bundles import Repository
from triptych_bundles.loading import load_bundles
from triptych_servicekit.cores import available_cores
from triptych_servicekit.registry import Registry
from triptych_tokenizer.engine import Engine
from triptych_tokenizer.loading import load_tokenizer
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.servicer import TokenizerServicer
from triptych_tokenizer.settings import TokenizerSettings
from triptych_tokenizer.telemetry import TokenizerMetrics
from triptych_tokenizer.workers import Workers


class TokenizerApplication:
    """See servicekit's Application."""

    name = "tokenizer"

    def __init__(self, settings: TokenizerSettings) -> None:
        tokenizing = settings.tokenizing
        self._settings = settings
        self._models: Registry[ModelTokenizer] = Registry()
        self._workers = Workers(
            tokenizing.threads or available_cores(), tokenizing.max_queued_characters
        )
        self.metrics = TokenizerMetrics()
        self._engine = Engine(self._workers, tokenizing, self.metrics)
        self.metrics.gauge(
            "queued_characters", "Characters that wait or run.", lambda: self._workers.load
        )

    def register(self, server: grpc.aio.Server) -> Sequence[str]:
        """Add TokenizerService."""
        servicer = TokenizerServicer(self._models, self._engine, self._settings.limits)
        rpc.add_TokenizerServiceServicer_to_server(servicer, server)
        return [pb.DESCRIPTOR.services_by_name["TokenizerService"].full_name]

    async def start(self) -> None:
        """Load every bundle that may serve; a bundle that may not does not stop the others."""
        await asyncio.to_thread(self._load)

    def _load(self) -> None:
        models = self._settings.models
        repository = Repository(Path(models.repository))
        for bundle, model in load_bundles(repository, models.names, load_tokenizer):
            self._models.add(bundle.name, bundle.version, bundle.digest, model)

    async def stop(self) -> None:
        """End the threads."""
        self._workers.close()

    def dead(self) -> Sequence[str]:
        """Nothing here can break for good."""
        return []

    def unready(self) -> Sequence[str]:
        """Without a model there is nothing to serve."""
        return [] if self._models.held() else ["no model is loaded"]
