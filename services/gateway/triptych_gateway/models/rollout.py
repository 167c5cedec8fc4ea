"""Which bundles the stages hold, as far as requests have shown."""

import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

from triptych_gateway.models.target import Key

HOLD_OFF: Final = 5.0

_chosen: ContextVar[set[str] | None] = ContextVar("chosen", default=None)


@dataclass(slots=True)
class _Hold:
    """Nothing but a trial is asked of it: not before `until`, nor while a trial goes on."""

    until: float
    trials: int = 0


class Rollout:
    """Remembers for `hold_off` seconds what a stage did not hold, and for good what has answered.

    After that time one request tries again, and the others go on elsewhere until it has answered:
    a bundle that is still missing costs one repeated request per `hold_off`, however many come.
    """

    def __init__(
        self, hold_off: float = HOLD_OFF, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._hold_off = hold_off
        self._clock = clock
        self._holds: dict[Key, _Hold] = {}
        self._proven: set[str] = set()

    def avoids(self, key: Key) -> bool:
        """Whether others should be asked first."""
        hold = self._holds.get(key)
        return hold is not None and (hold.trials > 0 or self._clock() < hold.until)

    def proven(self, digest: str) -> bool:
        """Whether a bundle has answered."""
        return digest in self._proven

    def avoids_head(self, digest: str) -> bool:
        """Whether another version of a head, with whichever model, should be asked first."""
        return self.avoids(("", digest))

    def choose_head(self, digest: str) -> None:
        """A request has chosen a head by an option. Known only inside of its trial."""
        chosen = _chosen.get()
        if chosen is not None:
            chosen.add(digest)

    def held_off(self) -> int:
        """How many are held off."""
        return sum(map(self.avoids, self._holds))

    def hold(self, key: Key) -> None:
        """A stage does not hold one of these."""
        self._holds[key] = _Hold(self._clock() + self._hold_off)

    def hold_heads(self, digests: Collection[str]) -> None:
        """Postprocess does not hold one of these: one that has not answered yet, if there is."""
        for digest in set(digests) - self._proven or digests:
            self.hold(("", digest))

    @contextlib.contextmanager
    def trial(self, key: Key) -> Iterator[Collection[str]]:
        """Around a request: one that ends without an error shows that all stages can answer.

        Gives the digests of the heads that are chosen meanwhile.
        """
        chosen: set[str] = set()
        token = _chosen.set(chosen)
        hold = self._holds.get(key)
        if hold is not None:
            hold.trials += 1
        try:
            yield chosen
            for answered in (key, *(("", digest) for digest in chosen)):
                self._holds.pop(answered, None)
                self._proven.update(filter(None, answered))
        finally:
            _chosen.reset(token)
            if hold is not None:
                hold.trials -= 1

    def forget_all_but(self, digests: Collection[str]) -> None:
        """Of bundles that have left nothing need be remembered."""
        self._proven.intersection_update(digests)
        for key in [key for key in self._holds if not set(filter(None, key)) <= set(digests)]:
            del self._holds[key]
