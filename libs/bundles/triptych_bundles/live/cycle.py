"""The way of a bundle through memory: loaded, served, drained, released."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from triptych_bundles.live.loading import Loader, Refused
from triptych_bundles.live.room import NO_ROOM, Room
from triptych_bundles.live.shelf import Shelf
from triptych_bundles.live.slots import Place, Slot
from triptych_bundles.manifest import Folder
from triptych_servicekit.model_metrics import ModelMetrics
from triptych_servicekit.stores import BundleState

logger = logging.getLogger(__name__)

B = TypeVar("B", bound=Folder)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Hooks(Generic[T]):
    """What a service does with a value, on the event loop."""

    serve: Callable[[T], None]
    """Before the first call gets it."""
    release: Callable[[T], Awaitable[None]]
    """After the last."""


class Cycle(Generic[B, T]):
    """Moves slots on; runs on the event loop only, so between two awaits nothing else happens."""

    def __init__(
        self,
        shelf: Shelf[B, T],
        loader: Loader[B, T],
        hooks: Hooks[T],
        budget: int,
        drain_timeout: float,
        metrics: ModelMetrics,
    ) -> None:
        self._shelf = shelf
        self._loader = loader
        self._hooks = hooks
        self._drain_timeout = drain_timeout
        self._metrics = metrics
        self._room = Room(budget, self._evict)
        self._tasks: set[asyncio.Task[None]] = set()
        self.leaving: set[Slot[B, T]] = set()
        """Draining, or only waiting for its last user."""

    def start(
        self, place: Place[B, T], slot: Slot[B, T], *, evict: bool, wait: bool
    ) -> asyncio.Task[None]:
        """Begin to load a slot of a place; see Room.take."""
        slot.signature = place.sighting.signature
        slot.state = BundleState.LOADING
        slot.loading = self._spawn(self._bring(place, slot, evict, wait))
        return slot.loading

    async def _bring(self, place: Place[B, T], slot: Slot[B, T], evict: bool, wait: bool) -> None:
        taken = False
        try:
            taken = await self._room.take(slot, evict=evict, wait=wait)
            if taken and place.holds(slot):
                self._accept(place, slot, await self._loader.load(slot.bundle))
            else:
                self._postpone(place, slot, first=not evict)
        except Refused as refusal:
            self._refuse(place, slot, str(refusal))
        finally:
            slot.loading = None
            if taken and not slot.in_memory:
                self._room.give(slot)
            self._room.stir()

    def _accept(self, place: Place[B, T], slot: Slot[B, T], value: T) -> None:
        self._hooks.serve(value)
        self._metrics.entered(slot.size)
        slot.value, slot.reason = value, ""
        slot.state = BundleState.LOADED
        logger.info("loaded", extra={"model": slot.bundle.identity, "digest": slot.digest[:12]})
        if place.holds(slot):
            self._install(place, slot)
        else:
            self.retire(slot)

    def _install(self, place: Place[B, T], slot: Slot[B, T]) -> None:
        """From now on the slot is what the place's name means."""
        old, place.serving = place.serving, slot
        if slot is place.incoming:
            place.incoming, place.told = None, ""
        self._shelf.by_digest[slot.digest] = slot
        if old is not None and old is not slot:
            self.drain(old)

    def _postpone(self, place: Place[B, T], slot: Slot[B, T], *, first: bool) -> None:
        """Leave a slot unloaded. It is loaded when it is called, or at a later look.

        What is found later than at the first look, and has never been loaded, is not called
        instead of an older version that serves.
        """
        slot.state = BundleState.UNLOADED
        if not place.holds(slot):
            return
        if slot.reason != NO_ROOM:
            slot.reason = NO_ROOM
            logger.warning("not loaded", extra={"model": slot.bundle.identity, "reason": NO_ROOM})
        newest = self._shelf.newest_serving(slot.bundle.name)
        behind = first or newest is None or place.order() < newest.order()
        if place.serving is None and behind:
            self._install(place, slot)

    def _refuse(self, place: Place[B, T], slot: Slot[B, T], reason: str) -> None:
        slot.state, slot.reason = BundleState.REFUSED, reason
        self._shelf.forget(slot)
        if slot is place.serving:
            place.serving, place.incoming = None, place.incoming or slot
        if place.holds(slot):
            self.tell(place, slot)

    def tell(self, place: Place[B, T], slot: Slot[B, T]) -> None:
        """Log a refusal once, and while files are still arriving only the first."""
        if slot.reason != place.told and not (place.told and place.changing):
            place.told = slot.reason
            told = {"model": slot.bundle.identity, "reason": slot.reason}
            logger.error("bundle refused", extra=told)

    def revive(self, place: Place[B, T], digest: str) -> Slot[B, T] | None:
        """Serve a digest that is in the repository again; None unless it is draining."""
        slot = self._shelf.by_digest.get(digest)
        if slot is None or slot not in self.leaving:
            return None
        self._end_draining(slot)
        self.leaving.discard(slot)
        slot.state = BundleState.LOADED
        self._install(place, slot)
        return slot

    def drain(self, slot: Slot[B, T]) -> None:
        """Let a slot serve those who name its digest for a while, then retire it."""
        if not slot.in_memory:
            self._shelf.forget(slot)
            return
        slot.state = BundleState.DRAINING
        self.leaving.add(slot)
        loop = asyncio.get_running_loop()
        slot.timer = loop.call_later(self._drain_timeout, self.retire, slot)
        logger.info("draining", extra={"model": slot.bundle.identity, "digest": slot.digest[:12]})

    def retire(self, slot: Slot[B, T]) -> None:
        """Let nobody find a slot any more, and release it once nobody uses it."""
        self._shelf.forget(slot)
        self._end_draining(slot)
        if slot.in_memory and not slot.retired:
            slot.state, slot.retired = BundleState.DRAINING, True
            self.leaving.add(slot)
            self._free_unused(slot)

    def leave(self, slot: Slot[B, T]) -> None:
        """One user less."""
        slot.users -= 1
        slot.last_used = asyncio.get_running_loop().time()
        if not slot.users:
            self._free_unused(slot)
            self._room.stir()

    async def stop(self) -> None:
        """Wait for what is being loaded, and release everything; no call may come any more."""
        for place in self._shelf:
            for slot in (place.serving, place.incoming):
                if slot is not None:
                    self.retire(slot)
            place.serving = place.incoming = None
        for slot in self.leaving.copy():
            slot.users = 0
            self.retire(slot)
            self._free_unused(slot)
        self._room.stir()
        while self._tasks:
            await asyncio.wait(self._tasks)

    async def _evict(self, slot: Slot[B, T]) -> None:
        """Unload a slot that nobody uses; a fresh one stands in for it until the next call."""
        self._metrics.evictions.inc()
        place = self._shelf.get((slot.bundle.name, slot.bundle.version))
        self.retire(slot)
        if place is not None and place.serving is slot:
            fresh: Slot[B, T] = Slot(slot.bundle, slot.size, slot.pinned)
            place.serving = self._shelf.by_digest[slot.digest] = fresh
        if slot.freeing is not None:
            await asyncio.wait([slot.freeing])

    def _end_draining(self, slot: Slot[B, T]) -> None:
        if slot.timer is not None:
            slot.timer.cancel()
            slot.timer = None

    def _free_unused(self, slot: Slot[B, T]) -> None:
        if slot.retired and slot.in_memory and not slot.users and slot.freeing is None:
            slot.freeing = self._spawn(self._free(slot))

    async def _free(self, slot: Slot[B, T]) -> None:
        value, slot.value = slot.value, None
        try:
            if value is not None:
                await self._hooks.release(value)
        except Exception:
            logger.exception("releasing %s failed", slot.bundle.identity)
        del value
        slot.state, slot.freeing = BundleState.UNLOADED, None
        self.leaving.discard(slot)
        self._metrics.left(slot.size)
        self._room.give(slot)
        logger.info("unloaded", extra={"model": slot.bundle.identity, "digest": slot.digest[:12]})

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
