"""What a failed request held is free at once, not at the collector's next pass.

A body of token ids is tens of megabytes of objects, and passes are rare where few objects are
containers: a few such requests make a service several times its size.
"""

import contextlib
import time
import weakref
from collections.abc import Sequence
from typing import Any

import pytest

from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.entries import Entry, Window
from triptych_gateway.gather import Gatherer
from triptych_gateway.guard import Guard
from triptych_gateway.local_platform import LocalPlatform, local_bundle
from triptych_gateway.models.target import Target
from triptych_gateway.retries import RetryBudget
from triptych_gateway.tasks import EmbedOptions, Origin, TextOptions
from triptych_gateway.telemetry import GatewayMetrics
from triptych_servicekit.errors import InvalidArgument, Overloaded

pytestmark = pytest.mark.usefixtures("no_collector")

ORIGIN = Origin(time.monotonic() + 600, "test")


class Inputs(list[str]):
    """A list that can be watched."""


class Replica:
    """The one replica of a stage that refuses everything."""

    serving = True
    calls = weight = turn = 0


class Pool:
    """Of that replica."""

    def __init__(self) -> None:
        self._replica = Replica()

    def serving(self) -> Sequence[Any]:
        return [self._replica]

    def suspect(self, replica: Any) -> None:
        raise AssertionError("a refusal is no reason for suspicion")


async def refuse(replica: Any, entries: Sequence[Entry[Any, Any]]) -> Sequence[Any]:
    raise Overloaded("full")


async def test_of_a_call_that_fails() -> None:
    window, metrics = Window(1, 100, 100), GatewayMetrics().stage("encoder")
    gatherer = Gatherer(Pool(), window, RetryBudget(0.1, 100), metrics)
    work = Inputs(["a"])
    held = weakref.ref(work)
    with contextlib.suppress(Overloaded):
        await gatherer.submit(work, refuse, 1, [(ORIGIN, 1)])
    del work
    await gatherer.stop()
    assert held() is None


async def test_of_a_request_that_is_refused_for_an_item() -> None:
    model = local_bundle(dimensions=8)
    guard = Guard(LocalPlatform([model]), Bounds(max_inputs=10, max_characters=20))
    inputs = Inputs(["ab", ""])
    held, text, options = weakref.ref(inputs), TextOptions(), EmbedOptions()
    with contextlib.suppress(InvalidArgument):
        await guard.embed(
            Target(model), inputs, Names("input[{}]"), text, options, ORIGIN, all_or_none=True
        )
    del inputs
    assert held() is None
