"""A live repository over a folder of tiny bundles, looked at by hand."""

import asyncio
import contextlib
import gc
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from triptych_bundles import Bundle, verify_files
from triptych_bundles.live import LiveModels, LiveRepository
from triptych_servicekit.groups import LoadedModels
from triptych_servicekit.metrics import Metrics
from triptych_servicekit.model_metrics import ModelMetrics
from triptych_servicekit.stores import BundleState


class Value:
    """What is made of a bundle here."""

    def __init__(self, bundle: Bundle) -> None:
        self.identity = bundle.identity
        self.digest = bundle.digest


class Service:
    """A service's side of LiveModels: verifies files, and remembers what it was told.

    While `open` is not set, loads wait. A bundle called "cursed" breaks them.
    """

    def __init__(self, root: Path, **settings: Any) -> None:
        self.settings = replace(
            LoadedModels(), repository=str(root), poll_interval=0.02, **settings
        )
        self.metrics = Metrics("tokenizer")
        self.open = threading.Event()
        self.open.set()
        self.loads: list[str] = []
        self.serving: list[str] = []
        self.released: list[str] = []
        self.values: list[weakref.ref[Value]] = []
        self.models = LiveModels(
            Bundle,
            self._load,
            self.settings,
            ModelMetrics(self.metrics),
            serve=self._serve,
            release=self._release,
        )
        self.repository = LiveRepository(self.settings, [self.models])

    def _load(self, bundle: Bundle) -> Value:
        self.loads.append(bundle.identity)
        self.open.wait(10)
        verify_files(bundle)
        if bundle.name == "cursed":
            raise ZeroDivisionError
        return Value(bundle)

    def _serve(self, value: Value) -> None:
        self.serving.append(value.identity)
        self.values.append(weakref.ref(value))

    async def _release(self, value: Value) -> None:
        await asyncio.sleep(0)
        self.released.append(value.identity)

    async def look(self, times: int = 1) -> None:
        """Look, and wait until what is new has been loaded."""
        for _ in range(times):
            await self.repository.look()
            await self.models.settled()

    async def use(self, name: str = "", version: str = "", digest: str = "", **more: float) -> str:
        """The identity of what serves."""
        async with self.models.use(name, version, digest, **more) as lent:
            assert lent.value.digest == lent.digest
            return lent.value.identity

    def states(self) -> dict[str, BundleState]:
        """By name, version, and the first digit of the digest where there are several."""
        found: dict[str, BundleState] = {}
        for status in self.repository.statuses():
            name = f"{status.name}@{status.version}"
            found[f"{name} {status.digest}" if name in found else name] = status.state
        return found

    async def alive(self, expected: int) -> list[str]:
        """Values that somebody still refers to; the collector is not asked.

        The thread that made a value may take a moment to let go of it.
        """
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(2):
                while len(self._alive()) > expected:  # noqa: ASYNC110 - threads do not tell
                    await asyncio.sleep(0.01)
        return self._alive()

    def _alive(self) -> list[str]:
        return sorted(value.identity for ref in self.values if (value := ref()))

    def sample(self, name: str, **labels: str) -> float | None:
        """A metric."""
        return self.metrics.registry.get_sample_value(f"triptych_tokenizer_{name}", labels)


StartService = Callable[..., contextlib.AbstractAsyncContextManager[Service]]


@pytest.fixture
def service(root: Path) -> StartService:
    """Start a service that has looked once; it looks again when it is told to."""

    root.mkdir(exist_ok=True)

    @contextlib.asynccontextmanager
    async def start(**settings: Any) -> AsyncIterator[Service]:
        running = Service(root, **settings)
        gc.disable()
        try:
            await running.look()
            yield running
        finally:
            running.open.set()
            await running.repository.stop()
            left = await running.alive(0)
            gc.enable()
        assert not left
        assert sorted(running.released) == sorted(running.serving)

    return start
