"""Bundles that have left the repository, as long as stages may still hold them."""

import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from triptych_bundles.manifest import Bundle, HeadBundle

DRAIN_TIMEOUT: Final = 30.0

AnyBundle = Bundle | HeadBundle
Place = tuple[str, str]


@dataclass(slots=True)
class _Departure:
    bundle: AnyBundle
    successor: str
    """Digest of what came in its place; empty where nothing did."""
    since: float


class Departures:
    """Remembers what has left for `drain_timeout` seconds.

    The stages keep a bundle that was replaced until they have loaded what replaced it, so that its
    time begins when its successor has answered.
    """

    def __init__(
        self,
        drain_timeout: float = DRAIN_TIMEOUT,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._drain_timeout = drain_timeout
        self._clock = clock
        self._left: dict[str, _Departure] = {}

    def bundles(self) -> list[AnyBundle]:
        """Those that are remembered, the latest last."""
        return [departure.bundle for departure in self._left.values()]

    def update(
        self,
        before: Iterable[AnyBundle],
        now: Iterable[AnyBundle],
        proven: Callable[[str], bool],
    ) -> None:
        """Take note of what has left since `before`, and forget what left long ago."""
        there = {_place(bundle): bundle.digest for bundle in now}
        digests = frozenset(there.values())
        for bundle in before:
            if bundle.digest not in digests:
                successor = there.get(_place(bundle), "")
                self._left[bundle.digest] = _Departure(bundle, successor, self._clock())
        self._expire(there, proven)

    def _expire(self, there: Mapping[Place, str], proven: Callable[[str], bool]) -> None:
        digests, clock = frozenset(there.values()), self._clock()
        for digest, departure in list(self._left.items()):
            if departure.successor in digests and not proven(departure.successor):
                departure.since = clock
            if digest in digests or clock - departure.since > self._drain_timeout:
                del self._left[digest]


def _place(bundle: AnyBundle) -> Place:
    return bundle.name, bundle.version
