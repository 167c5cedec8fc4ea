"""What is made of the bundles of a repository, for as long as they are in it and somebody calls."""

import asyncio
import contextlib
import math
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator, Sequence
from typing import Final, Generic, TypeVar

from triptych_bundles.live.cycle import Cycle, Hooks
from triptych_bundles.live.intake import Intake
from triptych_bundles.live.loading import Loader
from triptych_bundles.live.room import NO_ROOM
from triptych_bundles.live.shelf import Shelf
from triptych_bundles.live.slots import Slot
from triptych_bundles.live.watch import Key, Sighting
from triptych_bundles.manifest import Folder
from triptych_servicekit.errors import DeadlineExceeded, ModelNotLoaded, Unavailable
from triptych_servicekit.groups import LoadedModels
from triptych_servicekit.model_metrics import ModelMetrics
from triptych_servicekit.stores import BundleState, BundleStatus, Lent

B = TypeVar("B", bound=Folder)
T = TypeVar("T")

# A caller who found no room may try again after this long: a call or two have ended by then.
NO_ROOM_RETRY_AFTER: Final = 1.0
REFUSED_REASON: Final = "BUNDLE_REFUSED"


def nothing(value: object) -> None:
    """Nothing is to be done for a value."""


async def nothing_to_release(value: object) -> None:
    """A value that its last reference frees."""


class LiveModels(Generic[B, T]):
    """Holds one value for each bundle of `kind`, and lends it to calls.

    `load` makes the value: it runs in a thread and raises BundleError for what may not serve. Then
    `serve` is told of it and, when nobody uses it any more, `release`, both on the event loop.
    `size` is what a bundle counts against the memory budget, in bytes.
    """

    def __init__(
        self,
        kind: type[B],
        load: Callable[[B], T],
        settings: LoadedModels,
        metrics: ModelMetrics,
        *,
        serve: Callable[[T], None] = nothing,
        release: Callable[[T], Awaitable[None]] = nothing_to_release,
        size: Callable[[B], int] = lambda bundle: bundle.size,
    ) -> None:
        self.kind = kind
        self._shelf: Shelf[B, T] = Shelf()
        self._cycle = Cycle(
            self._shelf,
            Loader(load, settings.max_concurrent_loads, metrics),
            Hooks(serve, release),
            settings.memory_budget_bytes,
            settings.drain_timeout,
            metrics,
        )
        self._intake = Intake(self._shelf, self._cycle, size, settings.pinned)

    @contextlib.asynccontextmanager
    async def use(
        self, name: str = "", version: str = "", digest: str = "", timeout: float = math.inf
    ) -> AsyncIterator[Lent[T]]:
        """See ModelSource.use."""
        slot = await self._enter(name, version, digest, timeout)
        try:
            bundle, value = slot.bundle, slot.value
            yield Lent(bundle.name, bundle.version, bundle.digest, value)  # type: ignore[arg-type]
        finally:
            self._cycle.leave(slot)

    async def _enter(self, name: str, version: str, digest: str, timeout: float) -> Slot[B, T]:
        deadline = asyncio.get_running_loop().time() + timeout
        failed: Slot[B, T] | None = None
        while (slot := self._shelf.find(name, version, digest)) is not failed:
            slot.users += 1
            entered = False
            try:
                entered = slot.in_memory or await self._reload(slot, deadline)
            finally:
                if not entered:
                    self._cycle.leave(slot)
            if entered:
                return slot
            failed = slot  # by name an older version may serve instead
        if digest:
            raise ModelNotLoaded(f"this replica has {NO_ROOM}", field="model")
        raise Unavailable(f"the model is not loaded: {NO_ROOM}", retry_after=NO_ROOM_RETRY_AFTER)

    async def _reload(self, slot: Slot[B, T], deadline: float) -> bool:
        """Wait until a slot that somebody calls is in memory; whether it is."""
        loading = slot.loading
        if loading is None:
            place = self._shelf.get((slot.bundle.name, slot.bundle.version))
            if place is None:
                return False
            loading = self._cycle.start(place, slot, evict=True, wait=True)
        remaining = max(0.0, deadline - asyncio.get_running_loop().time())
        _, pending = await asyncio.wait(
            [loading], timeout=None if remaining == math.inf else remaining
        )
        if pending:
            raise DeadlineExceeded("the model was not loaded before the time was over")
        return slot.in_memory

    def update(self, sightings: Sequence[Sighting[B]], unreadable: Collection[Key]) -> None:
        """See Intake.update."""
        self._intake.update(sightings, unreadable)

    async def settled(self) -> None:
        """Wait until nothing is being loaded."""
        while loading := [slot.loading for slot in self._slots() if slot.loading]:
            await asyncio.wait(loading)

    async def stop(self) -> None:
        """Release everything; no call may come any more."""
        await self._cycle.stop()

    def unready(self) -> Sequence[str]:
        """Why nothing can be served; empty while something can."""
        return [] if any(place.serving for place in self._shelf) else ["no model is loaded"]

    def bundles(self) -> list[B]:
        """The bundles that are found by name, by name and natural version."""
        return [place.serving.bundle for place in self._shelf if place.serving]

    def statuses(self) -> list[BundleStatus]:
        """What has become of everything that the repository holds, and of what is leaving."""
        return [*(slot.status() for slot in self._slots()), *self._intake.withheld()]

    def holds(self, name: str, version: str, digest: str = "") -> bool:
        """Whether a bundle of this kind is known by its name and version, or by its digest."""
        if digest:
            return digest in self._shelf.by_digest
        return self._intake.place(name, version) is not None

    async def load(self, name: str, version: str) -> BundleStatus:
        """See BundleStore.load; the bundle must be held."""
        slot = self._intake.summon(name, version)
        slot.users += 1  # so that it waits for room, and keeps it
        try:
            if slot.in_memory or await self._reload(slot, math.inf):
                return slot.status()
        finally:
            self._cycle.leave(slot)
        refused = slot.state is BundleState.REFUSED
        what = f"{slot.bundle.identity} is {'refused' if refused else 'not loaded'}: {slot.reason}"
        raise ModelNotLoaded(what, field="model", reason=REFUSED_REASON if refused else None)

    async def unload(self, name: str, version: str, digest: str) -> BundleStatus:
        """See BundleStore.unload."""
        slot = self._intake.withhold(name, version, digest)
        if slot.freeing is not None:
            await asyncio.wait([slot.freeing])
        return slot.status()

    def _slots(self) -> Iterator[Slot[B, T]]:
        for place in self._shelf:
            yield from (slot for slot in (place.serving, place.incoming) if slot is not None)
        yield from self._cycle.leaving
