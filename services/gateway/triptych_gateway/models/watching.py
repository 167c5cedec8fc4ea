"""Keeping the catalog as the repository is, but for what an operator has taken out."""

import asyncio
import logging
from pathlib import Path

from triptych_bundles.manifest import Folder
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.models.departures import Departures
from triptych_gateway.models.holdings import Holdings, HoldingsReader
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.settings import Models

logger = logging.getLogger(__name__)

Place = tuple[str, str]
"""Name and version."""


class CatalogWatch:
    """Looks at a repository every `interval` seconds and tells the catalog what it holds."""

    def __init__(self, reader: HoldingsReader, catalog: Catalog, interval: float) -> None:
        self.catalog = catalog
        self._reader = reader
        self._interval = interval
        self._watching: asyncio.Task[None] | None = None
        self._told: Holdings | None = None
        self._withheld: set[Place] = set()

    @classmethod
    def of(cls, settings: Models) -> "CatalogWatch":
        """A watch whose catalog holds what there is now; blocks while that is read."""
        catalog = Catalog(
            rollout=Rollout(settings.hold_off), departures=Departures(settings.drain_timeout)
        )
        reader = HoldingsReader(Path(settings.repository), settings.names)
        watch = cls(reader, catalog, settings.poll_interval)
        watch.take(reader.look())
        return watch

    async def start(self) -> None:
        """Begin to watch."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """End watching."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    @property
    def holdings(self) -> Holdings:
        """What the repository held at the last look."""
        return self._told or Holdings()

    def withheld(self, bundle: Folder) -> bool:
        """Whether an operator has taken it out."""
        return _place(bundle) in self._withheld

    def withhold(self, bundle: Folder) -> None:
        """Take it out, whatever the repository holds in its place, until it is restored."""
        self._withheld.add(_place(bundle))
        self.take(self.holdings)

    def restore(self, bundle: Folder) -> None:
        """Put it back."""
        self._withheld.discard(_place(bundle))
        self.take(self.holdings)

    async def look(self) -> None:
        """Bring the catalog up to date now."""
        self.take(await asyncio.to_thread(self._reader.look))

    def take(self, holdings: Holdings) -> None:
        """Tell the catalog, also where nothing has changed: what has left is not kept for ever."""
        models = [model for model in holdings.models if not self.withheld(model)]
        heads = [head for head in holdings.heads if not self.withheld(head)]
        self.catalog.update(models, heads, holdings.aliases)
        if self._told is not None and holdings != self._told:
            bundles = [bundle.identity for bundle in (*holdings.models, *holdings.heads)]
            aliases = sorted(holdings.aliases)
            logger.info("repository changed", extra={"bundles": bundles, "aliases": aliases})
        self._told = holdings

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._interval)
            try:
                await self.look()
            except Exception:
                logger.exception("the repository could not be looked at")


def _place(bundle: Folder) -> Place:
    return bundle.name, bundle.version
