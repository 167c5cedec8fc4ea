"""The repository while it serves: looked at again and again, changed on request."""

import asyncio
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from triptych_bundles.live.models import REFUSED_REASON, LiveModels
from triptych_bundles.live.watch import Key, Look, RepositoryWatch, Unreadable
from triptych_bundles.repository import version_key
from triptych_servicekit.errors import ModelNotLoaded, NotFound
from triptych_servicekit.groups import Models
from triptych_servicekit.stores import BundleState, BundleStatus

logger = logging.getLogger(__name__)


class LiveRepository:
    """Tells each of `stores` what the repository holds of its kind; also their BundleStore.

    A repository that cannot be listed changes nothing: what serves goes on.
    """

    def __init__(self, settings: Models, stores: Sequence[LiveModels[Any, Any]]) -> None:
        self._stores = stores
        self._interval = settings.poll_interval
        self._watch = RepositoryWatch(Path(settings.repository), settings.names)
        self._looking = asyncio.Lock()
        self._unreadable: dict[Key, Unreadable] = {}
        self._problem = ""
        self._polling: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load what is there, and go on looking; what may not serve does not stop the others."""
        await self.look()
        for store in self._stores:
            await store.settled()
        self._polling = asyncio.create_task(self._poll())

    async def stop(self) -> None:
        """Look no more, and release everything."""
        if self._polling is not None:
            self._polling.cancel()
            await asyncio.wait([self._polling])
        for store in self._stores:
            await store.stop()

    def dead(self) -> Sequence[str]:
        """Why the process should be replaced; empty while somebody looks."""
        ended = self._polling is not None and self._polling.done()
        return ["the repository is no longer watched"] if ended else []

    async def _poll(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:
                logger.exception("a look at the repository failed")

    async def look(self) -> None:
        """See what has changed; loads that begin are not waited for."""
        async with self._looking:
            try:
                look = await asyncio.to_thread(self._watch.look)
            except OSError as error:
                self._complain(f"cannot be listed: {error.strerror}")
                return
            self._complain("")
            self._tell(look)

    def _complain(self, problem: str) -> None:
        if problem and problem != self._problem:
            logger.error("the repository %s", problem, extra={"folder": str(self._watch.root)})
        self._problem = problem

    def _tell(self, look: Look) -> None:
        self._note(look.unreadable)
        present = {item.key for item in look.unreadable if item.present}
        for store in self._stores:
            kind = [item for item in look.sightings if isinstance(item.bundle, store.kind)]
            store.update(kind, present)

    def _note(self, unreadable: Sequence[Unreadable]) -> None:
        known, self._unreadable = self._unreadable, {item.key: item for item in unreadable}
        for item in unreadable:
            if item.key not in known or known[item.key].reason != item.reason:
                told = {"model": "@".join(item.key), "reason": item.reason}
                logger.error("bundle refused", extra=told)

    def statuses(self) -> list[BundleStatus]:
        """See BundleStore.statuses."""
        found = [status for store in self._stores for status in store.statuses()]
        found += [
            BundleStatus(*key, digest="", state=BundleState.REFUSED, reason=item.reason)
            for key, item in self._unreadable.items()
        ]
        return sorted(found, key=lambda one: (one.name, version_key(one.version), one.digest))

    async def load(self, name: str, version: str) -> BundleStatus:
        """See BundleStore.load; looks at the repository first."""
        await self.look()
        for store in self._stores:
            if store.holds(name, version):
                return await store.load(name, version)
        for key, item in self._unreadable.items():
            if key[0] == name and version in ("", key[1]):
                reason = f"{'@'.join(key)} is refused: {item.reason}"
                raise ModelNotLoaded(reason, field="model", reason=REFUSED_REASON)
        raise NotFound("the repository holds no such bundle", field="model")

    async def unload(self, name: str, version: str, digest: str) -> BundleStatus:
        """See BundleStore.unload."""
        for store in self._stores:
            if store.holds(name, version, digest):
                return await store.unload(name, version, digest)
        raise NotFound("no such bundle is held here", field="model")
