"""Shadows: bundles that are asked what others have answered already, and only compared."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from triptych_gateway.models.background import background
from triptych_gateway.models.comparing import same
from triptych_gateway.models.metrics import (
    DIFFERENT,
    DROPPED,
    FAILED,
    SAME,
    RoutingMetrics,
)
from triptych_gateway.models.target import Target
from triptych_servicekit.errors import Overloaded, TriptychError

logger = logging.getLogger(__name__)

T = TypeVar("T")

# The answer is written in the turn of the loop in which it is there; the shadow begins after that
# and after what else was due, in seconds.
DELAY: Final = 0.01


class Shadows:
    """Asks at most `limit` shadows at a time and counts what comes of it."""

    def __init__(self, limit: int, metrics: RoutingMetrics) -> None:
        self._limit = limit
        self._metrics = metrics
        self._running: set[asyncio.Task[None]] = set()

    def ask(self, target: Target, ask: Callable[[Target], Awaitable[T]], answer: T) -> None:
        """Ask `target` later, in the background, and compare with the answer that was given."""
        if len(self._running) >= self._limit:
            self._metrics.shadowed(DROPPED)
            return
        task = asyncio.create_task(self._run(target, ask, answer))
        self._running.add(task)
        task.add_done_callback(self._running.discard)

    async def stop(self) -> None:
        """Cancel those in progress."""
        running = list(self._running)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)

    async def _run(self, target: Target, ask: Callable[[Target], Awaitable[T]], answer: T) -> None:
        await asyncio.sleep(DELAY)
        self._metrics.shadowed(await self._outcome(target, ask, answer))

    async def _outcome(
        self, target: Target, ask: Callable[[Target], Awaitable[T]], answer: T
    ) -> str:
        try:
            with background():
                other = await ask(target)
            equal = await asyncio.to_thread(same, answer, other)
        except Overloaded:
            return DROPPED
        except TriptychError:
            return FAILED
        except Exception:
            logger.exception("a shadow failed", extra={"model": target.model.identity})
            return FAILED
        return SAME if equal else DIFFERENT
