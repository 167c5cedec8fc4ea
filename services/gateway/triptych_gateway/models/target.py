"""What a request's `model` was resolved to: once, for all stages."""

from collections.abc import Iterator
from dataclasses import dataclass

from triptych_bundles.manifest import Bundle, HeadBundle

Key = tuple[str, str]
"""Digests of a model and of the head that was named, empty where none was: what stages need."""


@dataclass(frozen=True, slots=True)
class Target:
    """The bundles that answer a request.

    `head` is the bundle of a head that was asked for by name; None: the model's own, if it has one.
    `fallback` answers instead while a stage does not hold one of these bundles, `shadow` is asked
    as well and never heard. `alias` is the name that was resolved where that is an alias.
    """

    model: Bundle
    head: HeadBundle | None = None
    fallback: "Target | None" = None
    shadow: "Target | None" = None
    alias: str = ""

    @property
    def key(self) -> Key:
        """What a stage must hold to answer."""
        return self.model.digest, self.head.digest if self.head else ""

    def chain(self) -> Iterator["Target"]:
        """Itself and its fallbacks, in the order in which they are asked."""
        target: Target | None = self
        while target is not None:
            yield target
            target = target.fallback
