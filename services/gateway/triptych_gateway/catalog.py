"""The models that the gateway serves, found by the names that clients use."""

from collections.abc import Sequence
from pathlib import Path

from triptych_bundles.manifest import Bundle
from triptych_bundles.repository import Repository
from triptych_gateway.target import Target
from triptych_servicekit.errors import InvalidArgument, NotFound


class Catalog:
    """Bundles by name. The gateway alone resolves names; stages are given the digest."""

    def __init__(self, bundles: Sequence[Bundle]) -> None:
        self._bundles = list(bundles)

    @classmethod
    def read(cls, repository: Path, names: Sequence[str]) -> "Catalog":
        """The readable bundles of a repository, all or those of `names`."""
        bundles = Repository(repository).bundles()
        return cls([bundle for bundle in bundles if not names or bundle.name in names])

    def models(self) -> Sequence[Bundle]:
        """All of them, by name and version, the newest version last."""
        return self._bundles

    def resolve(self, name: str, version: str = "", digest: str = "") -> Target:
        """The bundle that `name`, `name@version` or a digest means; the newest without a version.

        An empty name means the only model. Raises NotFound, or InvalidArgument where an empty
        name is ambiguous.
        """
        name, _, tag = name.partition("@")
        version = version or tag
        found = [bundle for bundle in self._bundles if _matches(bundle, name, version, digest)]
        if not found:
            wanted = digest or (f"{name}@{version}" if version else name)
            raise NotFound(
                f"The model '{wanted[:256]}' does not exist.",
                field="model",
                reason="MODEL_NOT_FOUND",
            )
        if not name and len({bundle.name for bundle in found}) > 1:
            raise InvalidArgument("model must be given: several are served", field="model")
        return Target(found[-1])


def _matches(bundle: Bundle, name: str, version: str, digest: str) -> bool:
    if digest:
        return digest == bundle.digest
    return name in ("", bundle.name) and version in ("", bundle.version)
