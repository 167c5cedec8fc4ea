"""What a service holds of a repository, as its edges see it; nothing here knows a transport."""

import enum
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

T = TypeVar("T")


class BundleState(enum.Enum):
    """What has become of a bundle in this process."""

    LOADING = "loading"
    """Being read and verified, or waiting for that."""
    LOADED = "loaded"
    DRAINING = "draining"
    """Serves those who have it already, and nobody else."""
    REFUSED = "refused"
    """Failed a check."""
    UNLOADED = "unloaded"
    """Known and not in memory."""


@dataclass(frozen=True, slots=True)
class BundleStatus:
    """One bundle of a process; `digest` is empty where its bundle.yaml cannot be read."""

    name: str
    version: str
    digest: str
    state: BundleState
    reason: str = ""
    """Why it was refused, or is not in memory; names files relative to the bundle."""
    size: int = 0
    """Bytes that it is counted with against the memory budget."""
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Lent(Generic[T]):
    """A loaded value and the bundle that it was made of; good until it is given back."""

    name: str
    version: str
    digest: str
    value: T


class ModelSource(Protocol[T]):
    """Lends what a model was loaded as."""

    def use(
        self, name: str, version: str, digest: str, timeout: float
    ) -> AbstractAsyncContextManager[Lent[T]]:
        """By digest alone where there is one, else by name and version, the newest without.

        Waits up to `timeout` seconds where it has to be loaded again. Raises ModelNotLoaded for a
        digest and NotFound for a name that is not served, InvalidArgument where an empty name is
        ambiguous, DeadlineExceeded, and Unavailable where there is no room for it.
        """


class BundleStore(Protocol):
    """What an operator can do to what is loaded."""

    def statuses(self) -> Sequence[BundleStatus]:
        """Every bundle, by name and version."""

    async def load(self, name: str, version: str) -> BundleStatus:
        """Load the newest version, or the one named, and wait until it serves.

        Raises NotFound, and ModelNotLoaded with the reason where it is refused.
        """

    async def unload(self, name: str, version: str, digest: str) -> BundleStatus:
        """Take a bundle out of service until it is loaded again. Raises NotFound."""
