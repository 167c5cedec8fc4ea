"""Asking the platform about those items of a request that break no bound."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.models.router import Router
from triptych_gateway.models.target import Target
from triptych_gateway.platform import Platform
from triptych_gateway.spreading import no_usage, raise_first, spread, without
from triptych_gateway.tasks import Answered, Input

T = TypeVar("T")
I = TypeVar("I", bound=Input)  # noqa: E741 (an input)
A = TypeVar("A", bound=Answered)


@dataclass(frozen=True, slots=True)
class Asking:
    """A platform, the bounds of requests to it, and what chooses the target that answers."""

    platform: Platform
    bounds: Bounds
    router: Router = field(default_factory=Router)

    async def each(
        self,
        target: Target,
        items: Sequence[I],
        names: Names,
        ask: Callable[[Target, Sequence[I]], Awaitable[A]],
        nothing: Callable[..., A],
        all_or_none: bool = False,
        before: int = 0,
    ) -> A:
        """The answer for all items, of which those that break a bound are not asked about.

        `nothing` makes the answer where none is left of them; `before` is how many things that are
        not among the items usage counts before them.
        """
        refused = self.bounds.refused(target.model, items, names)
        if all_or_none:
            raise_first(refused)
        good = without(items, refused)
        if not good:
            return nothing(usage=no_usage(before + len(items)), errors=refused)
        found = await self.ask(target, lambda to: ask(to, good))
        answer = spread(found, refused, len(items), names)
        if all_or_none:
            raise_first(answer.errors)
        return answer

    async def ask(self, target: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        """The answer of whichever target is asked in the end."""
        return await self.router.run(target, ask)
