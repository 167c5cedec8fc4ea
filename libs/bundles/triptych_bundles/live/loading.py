"""One bundle into memory: a bounded number at a time, each in a thread, counted and timed."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Generic, TypeVar

from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import Folder
from triptych_servicekit.model_metrics import ModelMetrics

logger = logging.getLogger(__name__)

B = TypeVar("B", bound=Folder)
T = TypeVar("T")


class Refused(Exception):
    """A bundle that may not serve, and why, in words for outside."""


class Loader(Generic[B, T]):
    """Runs a service's own `load`, which raises BundleError for what may not serve."""

    def __init__(self, load: Callable[[B], T], at_once: int, metrics: ModelMetrics) -> None:
        self._load = load
        self._gate = asyncio.Semaphore(at_once)
        self._metrics = metrics

    async def load(self, bundle: B) -> T:
        """Read, verify and warm up. Raises Refused, whatever went wrong.

        A thread cannot be interrupted: whoever awaits this must not be cancelled, or the value is
        lost without being released.
        """
        async with self._gate:
            started = time.monotonic()
            try:
                value = await asyncio.to_thread(self._load, bundle)
            except BundleError as error:
                self._metrics.loads.labels("refused").inc()
                raise Refused(explain(bundle, error)) from None
            except Exception as error:
                logger.exception("loading %s failed", bundle.identity)
                self._metrics.loads.labels("failed").inc()
                raise Refused(f"could not be loaded: {type(error).__name__}") from None
            self._metrics.load_seconds.observe(time.monotonic() - started)
            self._metrics.loads.labels("loaded").inc()
            return value


def explain(bundle: Folder, error: BundleError) -> str:
    """What is wrong, with the file's name as the bundle has it; no other path."""
    return f"{relative(bundle, str(error.path))}: {relative(bundle, error.reason)}"


def relative(bundle: Folder, text: str) -> str:
    """The text without the path of the bundle's folder."""
    paths = bundle.path, bundle.path.absolute(), bundle.path.resolve()
    # a relative path is the end of an absolute one, so the longest goes first
    for folder in sorted(map(str, paths), key=len, reverse=True):
        text = text.replace(f"{folder}/", "").replace(folder, bundle.identity)
    return text
