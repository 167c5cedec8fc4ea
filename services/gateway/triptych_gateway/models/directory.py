"""What names and digests mean at a moment: which bundles, and which could answer instead."""

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TypeVar

from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_bundles.repository import version_key
from triptych_gateway.models.target import Target

B = TypeVar("B", Bundle, HeadBundle)


class Directory:
    """Finds targets among the bundles that are there and those that have left not long ago.

    What has left is found by its digest, and stands in for what has come in its place.
    """

    def __init__(
        self,
        models: Sequence[Bundle],
        heads: Sequence[HeadBundle],
        departed: Sequence[Bundle | HeadBundle] = (),
    ) -> None:
        """`models` and `heads` by name and version; `departed` the latest last."""
        self.models = tuple(models)
        self.heads = tuple(heads)
        self._left_models = [one for one in departed if isinstance(one, Bundle)]
        self._left_heads = [one for one in departed if isinstance(one, HeadBundle)]
        self._found: dict[tuple[str, str], tuple[Target, ...]] = {}

    @property
    def names(self) -> frozenset[str]:
        """Of all bundles that are there."""
        return frozenset(bundle.name for bundle in chain(self.models, self.heads))

    def named(self, name: str, version: str = "") -> tuple[Target, ...]:
        """The target that is meant, and after it those that could answer instead.

        A name without version means its newest, for which the older ones stand in. A head means
        the newest model that it fits, preferably the one whose name it gives, with that head.
        Empty where nothing is found.
        """
        key = name, version
        if key not in self._found:
            found = tuple(self._named_models(*key)) or tuple(self._named_heads(*key))
            if not found:
                return ()  # not remembered: of names that are not there there is no end
            self._found[key] = found
        return self._found[key]

    def by_digest(self, digest: str) -> tuple[Target, ...]:
        """That bundle and no other; a head with the models that it fits."""
        for model in (*self.models, *self._left_models):
            if model.digest == digest:
                return (Target(model),)
        for head in (*self.heads, *self._left_heads):
            if head.digest == digest:
                return tuple(Target(trunk, head) for trunk in self._trunks(head))
        return ()

    def heads_named(self, name: str, version: str = "") -> list[HeadBundle]:
        """Heads of that name, the newest first."""
        return _versions(self.heads, self._left_heads, name, version)

    def head_by_digest(self, digest: str) -> HeadBundle | None:
        """That head."""
        heads = (*self.heads, *self._left_heads)
        return next((head for head in heads if head.digest == digest), None)

    def has_trunk(self, head: HeadBundle) -> bool:
        """Whether a model that the head fits is there."""
        return any(map(head.fits, self.models))

    def _named_models(self, name: str, version: str) -> Iterable[Target]:
        return map(Target, _versions(self.models, self._left_models, name, version))

    def _named_heads(self, name: str, version: str) -> Iterable[Target]:
        """The newest of both, then those with one of them a step back, then with both."""
        pairs = [
            (at_head + at_trunk, abs(at_head - at_trunk), at_trunk, Target(trunk, head))
            for at_head, head in enumerate(self.heads_named(name, version))
            for at_trunk, trunk in enumerate(self._trunks(head))
        ]
        return (target for *_, target in sorted(pairs, key=lambda pair: pair[:3]))

    def _trunks(self, head: HeadBundle) -> list[Bundle]:
        """Models that a head fits, the best first; none where all of them have left."""
        if not self.has_trunk(head):
            return []
        fitting = [model for model in self.models if head.fits(model)]
        fitting.sort(key=lambda model: version_key(model.version), reverse=True)
        fitting.sort(key=lambda model: model.name != head.trunk.name)
        return fitting + [model for model in reversed(self._left_models) if head.fits(model)]


def _versions(there: Sequence[B], left: Sequence[B], name: str, version: str) -> list[B]:
    """The versions of a name, the newest first, none above the newest that is there.

    In place of a version that was replaced its former content comes after it, the latest first.
    """
    found = [one for one in there if name == one.name and version in ("", one.version)]
    if not found:
        return []
    newest = max(version_key(one.version) for one in found)
    former = [one for one in reversed(left) if name == one.name and version in ("", one.version)]
    found += [one for one in former if version_key(one.version) <= newest]
    return sorted(found, key=lambda one: version_key(one.version), reverse=True)
