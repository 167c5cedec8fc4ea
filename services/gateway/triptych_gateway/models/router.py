"""Which of a target's bundles answers a request."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, TypeVar

from triptych_gateway.models.metrics import RoutingMetrics
from triptych_gateway.models.rollout import Rollout
from triptych_gateway.models.shadow import Shadows
from triptych_gateway.models.target import Target
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, Unavailable
from triptych_servicekit.metrics import Metrics

T = TypeVar("T")

# When a request that no version could answer may come again, in seconds: about as long as a stage
# takes to see and load a bundle.
RETRY_AFTER: Final = 5.0


class Router:
    """Asks the target's bundles, or where a stage lacks them those of a fallback: the whole
    request again, so that no answer comes from two versions.
    """

    def __init__(
        self,
        rollout: Rollout | None = None,
        metrics: RoutingMetrics | None = None,
        shadows: Shadows | None = None,
    ) -> None:
        self._rollout = rollout or Rollout()
        self._metrics = metrics or RoutingMetrics(Metrics("gateway"))
        self._shadows = shadows or Shadows(0, self._metrics)

    async def run(self, target: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        """The answer of `ask`, which is given the target to ask, and afterwards to the shadow.

        Each of the target's chain is asked once at most. Whether a request has time left is for
        `ask` to say. Raises what `ask` raised, and Unavailable with reason MODEL_NOT_LOADED where
        no stage holds any of them.
        """
        found = await self._answer(target, ask)
        if target.shadow is not None:
            self._shadows.ask(target.shadow, partial(self._ask_shadow, ask), found)
        return found

    async def _ask_shadow(self, ask: Callable[[Target], Awaitable[T]], shadow: Target) -> T:
        """As any target: one that a stage lacks is not asked again before it may be there."""
        if self._rollout.avoids(shadow.key):
            raise _not_loaded(shadow)
        try:
            return await self._attempt(shadow, ask)
        except ModelNotLoaded:
            self._rollout.hold(shadow.key)
            raise

    async def stop(self) -> None:
        """End what shadows are still asked."""
        await self._shadows.stop()

    async def _answer(self, target: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        order = sorted(target.chain(), key=lambda link: self._rollout.avoids(link.key))
        if order[0] is not target:
            self._metrics.diverted(target)
        asked = target
        try:
            for asked in order:
                try:
                    return await self._attempt(asked, ask)
                except ModelNotLoaded as error:
                    self._missing(asked, error, alone=len(order) == 1)
                except InvalidArgument:
                    # another version may not know what the one that was meant would have done
                    if asked is target:
                        raise
        finally:
            self._metrics.asked(asked, target.alias)
        raise _not_loaded(target)

    async def _attempt(self, asked: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        """The answer of one target: with another version of a head where only that is missing."""
        try:
            with self._rollout.trial(asked.key) as chosen:
                return await ask(asked)
        except ModelNotLoaded as error:
            if not chosen or not _about_head(error):
                raise
            self._rollout.hold_heads(chosen)
        with self._rollout.trial(asked.key):
            return await ask(asked)

    def _missing(self, asked: Target, error: ModelNotLoaded, alone: bool) -> None:
        """Hold off what was asked, unless a head was missing that the target does not name."""
        if alone:
            return
        self._metrics.repeated(asked)
        if asked.head is not None or not _about_head(error):
            self._rollout.hold(asked.key)


def _about_head(error: ModelNotLoaded) -> bool:
    """Whether a stage holds the model and lacks a head: it names the field that asks for one."""
    return (error.field or "").rpartition(".")[2] == "head"


def _not_loaded(target: Target) -> Unavailable:
    wanted = target.head.identity if target.head else target.model.identity
    return Unavailable(
        f"the model '{wanted}' is not loaded everywhere yet",
        reason=ModelNotLoaded.reason,
        field="model",
        retry_after=RETRY_AFTER,
    )
