"""One digest and what has become of it, and the folder that it came from."""

import asyncio
from dataclasses import dataclass
from typing import Generic, TypeVar

from triptych_bundles.live.watch import Key, Sighting, Signature
from triptych_bundles.manifest import Folder
from triptych_bundles.repository import version_key
from triptych_servicekit.stores import BundleState, BundleStatus

B = TypeVar("B", bound=Folder)
T = TypeVar("T")


class Slot(Generic[B, T]):
    """A bundle on its way through memory, which it goes once: what is loaded again gets a new one.

    Nothing in here may refer back to it once it has gone: it has to be freed by its last user, the
    collector does not look at what was loaded before the service began to serve.
    """

    __slots__ = (
        "bundle", "freeing", "last_used", "loading", "pinned", "reason", "retired", "signature",
        "size", "stale", "state", "timer", "users", "value",
    )  # fmt: skip

    def __init__(self, bundle: B, size: int, pinned: bool) -> None:
        self.bundle = bundle
        self.size = size
        self.pinned = pinned
        self.state = BundleState.UNLOADED
        self.reason = ""
        self.value: T | None = None
        self.users = 0
        """Calls that have it or wait for it."""
        self.last_used = 0.0
        """On the clock of the event loop."""
        self.signature: Signature = ()
        """Of the files when they were last tried."""
        self.loading: asyncio.Task[None] | None = None
        self.timer: asyncio.TimerHandle | None = None
        """Ends the draining."""
        self.stale = False
        """Whether the repository holds it no more, so that it could not be loaded again."""
        self.retired = False
        """Whether its value is released as soon as nobody uses it."""
        self.freeing: asyncio.Task[None] | None = None

    @property
    def digest(self) -> str:
        """Of its bundle."""
        return self.bundle.digest

    @property
    def in_memory(self) -> bool:
        """Whether it has a value to give."""
        return self.state in (BundleState.LOADED, BundleState.DRAINING)

    def status(self) -> BundleStatus:
        """For people and programs outside."""
        bundle = self.bundle
        return BundleStatus(
            bundle.name,
            bundle.version,
            bundle.digest,
            self.state,
            self.reason,
            self.size,
            self.pinned,
        )


@dataclass(slots=True, eq=False)
class Place(Generic[B, T]):
    """A folder of the repository."""

    sighting: Sighting[B]
    serving: Slot[B, T] | None = None
    """Found by name and digest: loaded, or unloaded to make room."""
    incoming: Slot[B, T] | None = None
    """Being loaded, waiting for room, or refused."""
    missed: bool = False
    """Whether the last look did not see it. A bundle that is being replaced may be gone for a
    moment, so that only the second look in a row counts."""
    changing: bool = False
    """Whether the last look found other files than the one before."""
    told: str = ""
    """The refusal that was logged last."""

    @property
    def key(self) -> Key:
        """Name and version."""
        return self.sighting.key

    def holds(self, slot: Slot[B, T]) -> bool:
        """Whether the slot still has its place here."""
        return slot is self.serving or slot is self.incoming

    def order(self) -> tuple[list[tuple[int, str]], str]:
        """Sorts the versions of a name."""
        version = self.sighting.bundle.version
        return version_key(version), version
