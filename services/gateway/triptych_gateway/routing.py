"""Which of a target's bundles answers a request."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from triptych_gateway.target import Target

T = TypeVar("T")


class Router:
    """Asks a target's own bundles."""

    async def run(self, target: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        """The answer of `ask`, which is given the target to ask."""
        return await ask(target)
