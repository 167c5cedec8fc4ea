"""The models that the gateway serves, found by the names that clients use."""

from collections.abc import Sequence
from pathlib import Path

from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_bundles.repository import Repository
from triptych_gateway.target import Target
from triptych_servicekit.errors import InvalidArgument, NotFound


class Catalog:
    """Bundles by name. The gateway alone resolves names; stages are given the digest."""

    def __init__(self, bundles: Sequence[Bundle], heads: Sequence[HeadBundle] = ()) -> None:
        self._bundles = list(bundles)
        self._heads = [head for head in heads if any(map(head.fits, bundles))]

    @classmethod
    def read(cls, repository: Path, names: Sequence[str]) -> "Catalog":
        """The readable bundles of a repository, all or those of `names`, and their heads."""
        found = Repository(repository).scan()
        models = [model for model in found.models if not names or model.name in names]
        return cls(models, found.heads)

    def models(self) -> Sequence[Bundle]:
        """All of them, by name and version, the newest version last."""
        return self._bundles

    def heads(self) -> Sequence[HeadBundle]:
        """Heads that fit one of the models, by name and version."""
        return self._heads

    def find_head(self, model: Bundle, name: str) -> HeadBundle:
        """The newest head for `model` that `name`, `name@version` or a digest means.

        Raises InvalidArgument naming `head` where there is none.
        """
        plain, _, version = name.partition("@")
        fitting = [head for head in self._heads if head.fits(model)]
        found = [head for head in fitting if _matches(head, plain, version)]
        found = found or [head for head in fitting if head.digest == name]
        if not name or not found:
            message = f"head '{name[:256]}' is not one of the model '{model.name}'"
            raise InvalidArgument(message, field="head")
        return found[-1]

    def resolve(self, name: str, version: str = "", digest: str = "") -> Target:
        """The bundle that `name`, `name@version` or a digest means; the newest without a version.

        The name of a head means the newest model that it fits, with the head. An empty name means
        the only model. Raises NotFound, or InvalidArgument where an empty name is ambiguous.
        """
        name, _, tag = name.partition("@")
        version = version or tag
        found = [bundle for bundle in self._bundles if _matches(bundle, name, version, digest)]
        if not found:
            return self._resolve_head(name, version, digest)
        if not name and not digest and len({bundle.name for bundle in found}) > 1:
            raise InvalidArgument("model must be given: several are served", field="model")
        return Target(found[-1])

    def _resolve_head(self, name: str, version: str, digest: str) -> Target:
        heads = [head for head in self._heads if _matches(head, name, version, digest)]
        if not heads or not (name or digest):
            wanted = digest or (f"{name}@{version}" if version else name)
            raise NotFound(
                f"The model '{wanted[:256]}' does not exist.",
                field="model",
                reason="MODEL_NOT_FOUND",
            )
        models = [bundle for bundle in self._bundles if heads[-1].fits(bundle)]
        return Target(models[-1], heads[-1])


def _matches(bundle: Bundle | HeadBundle, name: str, version: str, digest: str = "") -> bool:
    if digest:
        return digest == bundle.digest
    return name in ("", bundle.name) and version in ("", bundle.version)
