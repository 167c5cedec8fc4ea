"""One stage as the pipeline sees it: submit work, and it is sent, held or refused."""

import asyncio
import time
from typing import Any, TypeVar

from triptych_gateway.entries import Callers, StageCall
from triptych_gateway.gather import Gatherer
from triptych_gateway.replicas import ReplicaSet
from triptych_servicekit.errors import Unavailable

W = TypeVar("W")


class Stage:
    """The replicas of a stage and the gatherer in front of them.

    While no replica serves, work is held for `hold_timeout` seconds: as long as a restart takes.
    After that it is refused at once until one serves again.
    """

    def __init__(
        self, name: str, replicas: ReplicaSet, gatherer: Gatherer, hold_timeout: float
    ) -> None:
        self.name = name
        self.gatherer = gatherer
        self._replicas = replicas
        self._hold_timeout = hold_timeout
        self._giving_up: asyncio.TimerHandle | None = None
        replicas.on_change(self._changed)

    async def submit(
        self, work: W, call: StageCall, weight: int, callers: Callers, alone: bool = False
    ) -> tuple[Any, float]:
        """See Gatherer.submit. Raises Unavailable where the stage has been gone for too long."""
        since = self._replicas.down_since
        if since is not None and time.monotonic() - since > self._hold_timeout:
            raise self._gone()
        return await self.gatherer.submit(work, call, weight, callers, alone)

    async def start(self) -> None:
        """Connect to the replicas."""
        await self._replicas.start()
        self._changed()

    async def stop(self) -> None:
        """Cancel what is in flight and disconnect."""
        if self._giving_up:
            self._giving_up.cancel()
        await self.gatherer.stop()
        await self._replicas.stop()

    def replicas(self) -> int:
        """How many serve."""
        return len(self._replicas.serving())

    def _changed(self) -> None:
        if self._replicas.serving():
            if self._giving_up:
                self._giving_up.cancel()
                self._giving_up = None
            self.gatherer.wake()
        elif self._giving_up is None:
            loop = asyncio.get_running_loop()
            self._giving_up = loop.call_later(self._hold_timeout, self._give_up)

    def _give_up(self) -> None:
        self._giving_up = None
        self.gatherer.fail_waiting(self._gone())

    def _gone(self) -> Unavailable:
        return Unavailable(f"no {self.name} is available", retry_after=1.0)
