"""Finding what serves: by digest, by name and version, or the newest of a name."""

from collections.abc import Iterator
from typing import Generic, TypeVar

from triptych_bundles.live.slots import Place, Slot
from triptych_bundles.live.watch import Key
from triptych_bundles.manifest import Folder
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound

B = TypeVar("B", bound=Folder)
T = TypeVar("T")

# What of a caller's name is repeated in an answer.
MAX_QUOTED = 128


class Shelf(Generic[B, T]):
    """The folders of a repository by name and version, and slots by digest.

    A digest is found here for longer than its name: until it has drained.
    """

    def __init__(self) -> None:
        self.by_digest: dict[str, Slot[B, T]] = {}
        self._names: dict[str, dict[str, Place[B, T]]] = {}

    def __iter__(self) -> Iterator[Place[B, T]]:
        """All places, by name and natural version."""
        for name in sorted(self._names):
            yield from sorted(self._names[name].values(), key=Place.order)

    def get(self, key: Key) -> Place[B, T] | None:
        """The place of a name and version."""
        return self._names.get(key[0], {}).get(key[1])

    def add(self, place: Place[B, T]) -> None:
        """A folder has appeared."""
        name, version = place.key
        self._names.setdefault(name, {})[version] = place

    def drop(self, place: Place[B, T]) -> None:
        """A folder has gone."""
        name, version = place.key
        del self._names[name][version]
        if not self._names[name]:
            del self._names[name]

    def forget(self, slot: Slot[B, T]) -> None:
        """The digest is not found any more, unless another slot has it."""
        if self.by_digest.get(slot.digest) is slot:
            del self.by_digest[slot.digest]

    def newest(self, name: str) -> Place[B, T] | None:
        """The newest version of a name, whatever has become of it."""
        return max(self._names.get(name, {}).values(), key=Place.order, default=None)

    def newest_serving(self, name: str) -> Place[B, T] | None:
        """The newest version of a name that serves."""
        serving = [place for place in self._named(name) if place.serving]
        return max(serving, key=Place.order, default=None)

    def find(self, name: str, version: str, digest: str) -> Slot[B, T]:
        """What serves; errors as `ModelSource.use`."""
        if digest:
            return self._find_digest(digest)
        found = [
            (place, place.serving)
            for place in self._named(name)
            if place.serving is not None and version in ("", place.key[1])
        ]
        if not found:
            raise NotFound(_missing(name, version), field="model")
        if not name and len({place.key[0] for place, _ in found}) > 1:
            raise InvalidArgument("model.name is empty and several are served", field="model.name")
        return max(found, key=lambda pair: pair[0].order())[1]

    def _find_digest(self, digest: str) -> Slot[B, T]:
        try:
            return self.by_digest[digest]
        except KeyError:
            raise ModelNotLoaded("this replica does not hold that digest", field="model") from None

    def _named(self, name: str) -> Iterator[Place[B, T]]:
        if name:
            yield from self._names.get(name, {}).values()
        else:
            for versions in self._names.values():
                yield from versions.values()


def _missing(name: str, version: str) -> str:
    if not name:
        return "no model is served here"
    of_version = f" of version '{version[:MAX_QUOTED]}'" if version else ""
    return f"model '{name[:MAX_QUOTED]}'{of_version} is not served here"
