"""From what the repository holds to what is loaded of it."""

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import replace
from typing import Final, Generic, TypeVar

from triptych_bundles.live.cycle import Cycle
from triptych_bundles.live.shelf import Shelf
from triptych_bundles.live.slots import Place, Slot
from triptych_bundles.live.watch import Key, Sighting
from triptych_bundles.manifest import Folder
from triptych_servicekit.errors import NotFound
from triptych_servicekit.stores import BundleState, BundleStatus

WITHHELD: Final = "unloaded by request"

B = TypeVar("B", bound=Folder)
T = TypeVar("T")


class Intake(Generic[B, T]):
    """Holds each look at the repository against the last one, and what operators asked for."""

    def __init__(
        self,
        shelf: Shelf[B, T],
        cycle: Cycle[B, T],
        size: Callable[[B], int],
        pinned: Collection[str],
    ) -> None:
        self._shelf = shelf
        self._cycle = cycle
        self._size = size
        self._pinned = pinned
        self._withheld: set[Key] = set()
        self._started = False

    def update(self, sightings: Sequence[Sighting[B]], unreadable: Collection[Key]) -> None:
        """What the repository holds now. What is new begins to load, what has gone to drain.

        `unreadable` are folders whose bundle.yaml is wrong: what they held before goes on. The
        first time nothing is unloaded to make room, the newest versions come first, and what does
        not fit is loaded when it is called.
        """
        fresh = [place for sighting in sightings if (place := self._see(sighting))]
        present = {sighting.key for sighting in sightings}.union(unreadable)
        for place in [place for place in self._shelf if place.key not in present]:
            self._miss(place)
        for place in sorted(fresh, key=self._urgency):
            if place.incoming is not None:
                self._cycle.start(place, place.incoming, evict=self._started, wait=False)
        self._started = True

    def _see(self, sighting: Sighting[B]) -> Place[B, T] | None:
        """Note a sighting; the place, where it makes something to load."""
        place = self._shelf.get(sighting.key)
        if place is None:
            place = Place(sighting)
            self._shelf.add(place)
        place.changing = sighting.signature != place.sighting.signature
        place.sighting, place.missed = sighting, False
        if place.key in self._withheld:
            return None
        slot = self._current(place)
        if slot is place.serving or slot.loading is not None:
            return None
        if slot.state is BundleState.REFUSED and slot.signature == sighting.signature:
            self._cycle.tell(place, slot)
            return None
        return place

    def _current(self, place: Place[B, T]) -> Slot[B, T]:
        """The slot of what a place holds now: serving already, or incoming."""
        bundle, serving, incoming = place.sighting.bundle, place.serving, place.incoming
        if serving is not None:
            serving.stale = serving.digest != bundle.digest
            if not serving.stale:
                place.incoming = None  # what was about to replace it has been taken back
                return serving
        if incoming is not None and incoming.digest == bundle.digest:
            return incoming
        place.incoming, place.told = None, ""
        return self._cycle.revive(place, bundle.digest) or self._put(place, self._slot(bundle))

    def _put(self, place: Place[B, T], slot: Slot[B, T]) -> Slot[B, T]:
        """Make a new slot the incoming one, or let it be called where the old one is unloaded."""
        old = place.serving
        if old is None or old.in_memory:
            place.incoming = slot
        else:
            self._shelf.forget(old)
            place.serving = self._shelf.by_digest[slot.digest] = slot
        return slot

    def _slot(self, bundle: B) -> Slot[B, T]:
        return Slot(bundle, self._size(bundle), bundle.name in self._pinned)

    def _miss(self, place: Place[B, T]) -> None:
        if not place.missed:
            place.missed = True
            if place.serving is not None:
                place.serving.stale = True
            return
        self._shelf.drop(place)
        serving, place.serving, place.incoming = place.serving, None, None
        if serving is not None:
            self._cycle.drain(serving)

    def _urgency(self, place: Place[B, T]) -> tuple[bool, bool]:
        name = place.key[0]
        return name not in self._pinned, self._shelf.newest(name) is not place

    def place(self, name: str, version: str) -> Place[B, T] | None:
        """A version of the repository, the newest where none is named."""
        return self._shelf.get((name, version)) if version else self._shelf.newest(name)

    def summon(self, name: str, version: str) -> Slot[B, T]:
        """The slot that an operator wants loaded, withheld no more. Raises NotFound."""
        place = self.place(name, version)
        if place is None:
            raise NotFound("the repository holds no such bundle", field="model")
        self._withheld.discard(place.key)
        return self._current(place)

    def withhold(self, name: str, version: str, digest: str) -> Slot[B, T]:
        """Take a bundle out of service until it is summoned. Raises NotFound.

        A digest that is draining is only retired: its place holds something else by now.
        """
        slot = self._shelf.by_digest.get(digest)
        if digest and slot is not None:
            name, version = slot.bundle.name, slot.bundle.version
        place = self._holder(name, version)
        if place is None or (digest and slot is None):
            raise NotFound("no such bundle is held here", field="model")
        if slot is None or slot is place.serving:
            self._withheld.add(place.key)
            slot = place.serving or self._current(place)
            place.serving = place.incoming = None
        self._cycle.retire(slot)
        return slot

    def _holder(self, name: str, version: str) -> Place[B, T] | None:
        """As `place`, but rather a version that serves."""
        serving = None if version else self._shelf.newest_serving(name)
        return serving or self.place(name, version)

    def withheld(self) -> Iterator[BundleStatus]:
        """What an operator has taken out of service, and nobody uses any more."""
        leaving = {slot.digest for slot in self._cycle.leaving}
        for place in self._shelf:
            bundle = place.sighting.bundle
            if place.key in self._withheld and bundle.digest not in leaving:
                yield replace(self._slot(bundle).status(), reason=WITHHELD)
