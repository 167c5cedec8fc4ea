"""What a replica holds, found by ModelRef."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from triptych.v1 import types_pb2 as types
from triptych_servicekit.callers import Call
from triptych_servicekit.stores import ModelSource

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Held(Generic[T]):
    """Something loaded for a model, with the resolved reference that responses echo."""

    model: types.ModelRef
    value: T


class LiveRegistry(Generic[T]):
    """Models that come and go while they are called: the edge of a ModelSource."""

    def __init__(self, source: ModelSource[T], default_timeout: float) -> None:
        self._source = source
        self._default_timeout = default_timeout

    @contextlib.asynccontextmanager
    async def use(self, ref: types.ModelRef, call: Call) -> AsyncIterator[Held[T]]:
        """What a reference means, kept for the length of the block; errors as ModelSource.use.

        A model that has to be loaded first is waited for within the call's time.
        """
        remaining = call.time_remaining()
        timeout = self._default_timeout if remaining is None else remaining
        async with self._source.use(ref.name, ref.version, ref.digest, timeout) as lent:
            model = types.ModelRef(name=lent.name, version=lent.version, digest=lent.digest)
            yield Held(model, lent.value)
