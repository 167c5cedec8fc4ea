"""What an operator can do to the gateway's models: it loads nothing, but it says what is served."""

from collections.abc import Sequence
from typing import Final

from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_bundles.repository import version_key
from triptych_gateway.models.watching import CatalogWatch
from triptych_servicekit.errors import NotFound
from triptych_servicekit.stores import BundleState, BundleStatus

WITHHELD: Final = "unloaded by request"


class CatalogStore:
    """A BundleStore: what is unloaded is not found any more, by no name, alias or fallback.

    Stages keep a bundle that is unloaded here, so this is where one is taken out of a platform.
    """

    def __init__(self, watch: CatalogWatch) -> None:
        self._watch = watch

    def statuses(self) -> Sequence[BundleStatus]:
        """See BundleStore.statuses."""
        found = sorted(self._bundles(), key=lambda one: (one.name, version_key(one.version)))
        return list(map(self._status, found))

    async def load(self, name: str, version: str) -> BundleStatus:
        """See BundleStore.load; looks at the repository first."""
        await self._watch.look()
        bundle = self._find(name, version)
        self._watch.restore(bundle)
        return self._status(bundle)

    async def unload(self, name: str, version: str, digest: str) -> BundleStatus:
        """See BundleStore.unload."""
        bundle = self._find(name, version, digest)
        self._watch.withhold(bundle)
        return self._status(bundle)

    def _bundles(self) -> list[Bundle | HeadBundle]:
        holdings = self._watch.holdings
        return [*holdings.models, *holdings.heads]

    def _find(self, name: str, version: str, digest: str = "") -> Bundle | HeadBundle:
        """The newest where no version is named. Raises NotFound."""
        found = [
            bundle
            for bundle in self._bundles()
            if (digest and bundle.digest == digest)
            or (not digest and bundle.name == name and version in ("", bundle.version))
        ]
        if not found:
            raise NotFound("the repository holds no such bundle", field="model")
        return max(found, key=lambda bundle: version_key(bundle.version))

    def _status(self, bundle: Bundle | HeadBundle) -> BundleStatus:
        withheld = self._watch.withheld(bundle)
        return BundleStatus(
            bundle.name,
            bundle.version,
            bundle.digest,
            BundleState.UNLOADED if withheld else BundleState.LOADED,
            reason=WITHHELD if withheld else "",
        )
