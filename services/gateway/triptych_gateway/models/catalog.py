"""The models that the gateway serves, found by the names that clients use."""

import logging
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

from triptych_bundles.aliases import NO_ALIASES, Alias, Aliases, check_alias_names
from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_gateway.models.choosing import choose, point_of
from triptych_gateway.models.departures import Departures
from triptych_gateway.models.directory import Directory
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.target import Target
from triptych_servicekit.errors import InvalidArgument, NotFound

logger = logging.getLogger(__name__)

MODEL_NOT_FOUND: Final = "MODEL_NOT_FOUND"
# Fallbacks of a target at most: each of them may cost a request another round through the stages.
MAX_FALLBACKS: Final = 3
# What of a client's name is repeated in an answer.
MAX_QUOTED: Final = 256


class Catalog:
    """Bundles by name. The gateway alone resolves names; stages are given the digest.

    What it holds may change at any time, see `update`; a request keeps what it was resolved to.
    """

    def __init__(
        self,
        models: Sequence[Bundle] = (),
        heads: Sequence[HeadBundle] = (),
        aliases: Aliases = NO_ALIASES,
        *,
        rollout: Rollout | None = None,
        departures: Departures | None = None,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """`draw` gives numbers from 0 up to but not 1."""
        self.rollout = rollout or Rollout()
        self._departures = departures or Departures()
        self._draw = draw
        self._aliases: Aliases = NO_ALIASES
        self._former: dict[str, Alias] = {}
        self._refusal = ""
        self._unserved: list[str] = []
        self._directory = Directory((), ())
        self.update(models, heads, aliases)

    def update(
        self, models: Sequence[Bundle], heads: Sequence[HeadBundle], aliases: Aliases
    ) -> None:
        """Hold these from now on; bundles come by name and version, the newest version last.

        Aliases of which one has the name of a bundle leave those in force that were before.
        """
        before = self._directory
        self._departures.update(
            [*before.models, *before.heads], [*models, *heads], self.rollout.proven
        )
        left = self._departures.bundles()
        self._directory = Directory(models, heads, left)
        self.rollout.forget_all_but({bundle.digest for bundle in (*models, *heads, *left)})
        self._take_aliases(aliases)
        self._tell_unserved()

    def models(self) -> Sequence[Bundle]:
        """All of them, by name and version, the newest version last."""
        return self._directory.models

    def heads(self) -> Sequence[HeadBundle]:
        """Heads that fit one of the models, by name and version."""
        return [head for head in self._directory.heads if self._directory.has_trunk(head)]

    def aliases(self) -> Mapping[str, Alias]:
        """Aliases by name, also those whose bundles are not there."""
        return self._aliases

    def unserved(self) -> Sequence[str]:
        """What is in the repository and cannot be served, and why."""
        return self._unserved

    def trunk(self, head: HeadBundle) -> Bundle:
        """The model that the head's name means, for a head that fits one."""
        return self._directory.by_digest(head.digest)[0].model

    def find_head(self, model: Bundle, name: str) -> HeadBundle:
        """The newest head for `model` that `name`, `name@version` or a digest means.

        One that postprocess lacked a moment ago comes after those that have answered. Raises
        InvalidArgument naming `head` where there is none, or none that fits the model.
        """
        found = self._heads_meant(name)
        if not name or not found:
            raise InvalidArgument(f"the head '{name[:MAX_QUOTED]}' does not exist", field="head")
        fitting = [head for head in found if head.fits(model)]
        if not fitting:
            trained = f"head '{found[0].identity}' is made for the model '{found[0].trunk.name}'"
            raise InvalidArgument(f"{trained}, it does not fit '{model.identity}'", field="head")
        chosen = min(fitting, key=lambda head: self._doubts(head, fitting[0]))
        self.rollout.choose_head(chosen.digest)
        return chosen

    def _doubts(self, head: HeadBundle, newest: HeadBundle) -> tuple[bool, bool]:
        """Where it stands behind others: held off, or an older one that has never answered.

        The latter may have been replaced before any stage had loaded it.
        """
        untried = head is not newest and not self.rollout.proven(head.digest)
        return self.rollout.avoids_head(head.digest), untried

    def resolve(self, name: str, version: str = "", digest: str = "", *, key: str = "") -> Target:
        """What an alias, `name`, `name@version` or a digest means; the newest without a version.

        The name of a head means a model that it fits, with that head. An empty name means the only
        model. `key` names the caller: with an alias it always gets the same target, and without
        one any. Raises NotFound, or InvalidArgument where an empty name is ambiguous.
        """
        if digest:
            return self._resolved(self._directory.by_digest(digest), digest)
        name, _, tag = name.partition("@")
        version = version or tag
        alias = self._aliases.get(name)
        if alias is not None and not version:
            return self._resolve_alias(alias, key)
        name = name or self._only_name()
        wanted = f"{name}@{version}" if version else name
        return self._resolved(self._directory.named(name, version), wanted)

    def _resolved(self, found: Sequence[Target], wanted: str) -> Target:
        if not found:
            raise _not_found(self._why_missing(wanted))
        return self._linked(found)

    def _why_missing(self, wanted: str) -> str:
        if not wanted:
            return "No model is served."
        heads = self._heads_meant(wanted)
        quoted = wanted[:MAX_QUOTED]
        if heads:
            trunk = heads[0].trunk.name
            return f"The model '{quoted}' is not served: it is a head of '{trunk}', which is not."
        return f"The model '{quoted}' does not exist."

    def _heads_meant(self, name: str) -> list[HeadBundle]:
        plain, _, version = name.partition("@")
        found = self._directory.heads_named(plain, version)
        by_digest = None if found else self._directory.head_by_digest(name)
        return [by_digest] if by_digest else found

    def _only_name(self) -> str:
        names = {model.name for model in self._directory.models}
        if len(names) > 1:
            raise InvalidArgument("model must be given: several are served", field="model")
        return names.pop() if names else ""

    def _resolve_alias(self, alias: Alias, key: str) -> Target:
        """A target by weight; for it stand in its own versions, the others, and former ones."""
        served = [target for target in alias.targets if self._meant(target.model)]
        former = self._former.get(alias.name)
        if not served:
            raise _not_found(f"The model '{alias.name}' is an alias of models that do not exist.")
        point = point_of(alias.name, key) if key else self._draw()
        chosen = served.pop(choose([target.weight for target in served], point))
        served.sort(key=lambda target: target.weight, reverse=True)
        found = list(self._meant(chosen.model))
        for other in (*served, *(former.targets if former else ())):
            found += self._meant(other.model)[:1]
        return self._linked(found, alias.name, self._shadow(alias, found[0]))

    def _shadow(self, alias: Alias, chosen: Target) -> Target | None:
        shadow = alias.shadow
        if shadow is None or self._draw() >= shadow.share:
            return None
        found = self._meant(shadow.model)
        return found[0] if found and found[0].key != chosen.key else None

    def _meant(self, reference: str) -> tuple[Target, ...]:
        name, _, version = reference.partition("@")
        return self._directory.named(name, version)

    def _linked(
        self, found: Sequence[Target], alias: str = "", shadow: Target | None = None
    ) -> Target:
        """The first that is not held off, and behind it first what has answered before."""
        if len(found) == 1 and shadow is None and not alias:
            return found[0]
        order = sorted({target.key: target for target in found}.values(), key=self._avoided)
        head, *others = order
        others.sort(key=lambda target: (self._avoided(target), not self._proven(target)))
        linked: Target | None = None
        for target in reversed(others[:MAX_FALLBACKS]):
            linked = Target(target.model, target.head, linked, alias=alias)
        return Target(head.model, head.head, linked, shadow, alias)

    def _avoided(self, target: Target) -> bool:
        return self.rollout.avoids(target.key)

    def _proven(self, target: Target) -> bool:
        return all(map(self.rollout.proven, filter(None, target.key)))

    def _take_aliases(self, aliases: Aliases) -> None:
        try:
            check_alias_names(aliases, self._directory.names, Path())
        except BundleError as error:
            if self._refusal != str(error):
                logger.error("aliases refused, those before stay", extra={"reason": error.reason})
            self._refusal = str(error)
            return
        self._refusal = ""
        for name, alias in self._aliases.items():
            if name in aliases and aliases[name].targets != alias.targets:
                self._former[name] = alias
        self._former = {name: self._former[name] for name in self._former if name in aliases}
        self._aliases = aliases

    def _tell_unserved(self) -> None:
        unserved = [*self._unserved_heads(), *self._unserved_targets()]
        for problem in unserved:
            if problem not in self._unserved:
                logger.warning("not served", extra={"reason": problem})
        self._unserved = unserved

    def _unserved_heads(self) -> Iterator[str]:
        models = {model.name for model in self._directory.models}
        for head in self._directory.heads:
            if not self._directory.has_trunk(head):
                yield f"head {head.identity}: no model that it fits, its trunk is {head.trunk.name}"
            elif head.name in models:
                yield f"head {head.identity}: not by its name alone, which is a model's too"

    def _unserved_targets(self) -> Iterator[str]:
        for alias in self._aliases.values():
            named = [target.model for target in alias.targets]
            named += [alias.shadow.model] if alias.shadow else []
            for reference in named:
                if not self._meant(reference):
                    yield f"alias {alias.name}: {reference} is not there"


def _not_found(message: str) -> NotFound:
    return NotFound(message, field="model", reason=MODEL_NOT_FOUND)
