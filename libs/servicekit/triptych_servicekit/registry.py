"""What a replica holds, found by ModelRef."""

import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Generic, TypeVar

from triptych.v1 import types_pb2 as types
from triptych_servicekit.callers import Call
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound
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


class Registry(Generic[T]):
    """Models loaded once, for as long as this process lives."""

    def __init__(self) -> None:
        self._by_digest: dict[str, Held[T]] = {}

    def add(self, name: str, version: str, digest: str, value: T) -> None:
        """Hold `value` for a model. Of the versions of a name the one added last is the newest."""
        model = types.ModelRef(name=name, version=version, digest=digest)
        self._by_digest[digest] = Held(model, value)

    def held(self) -> list[Held[T]]:
        """Everything held, in the order of adding."""
        return list(self._by_digest.values())

    def find(self, ref: types.ModelRef) -> Held[T]:
        """What a reference means: by digest alone where it has one, else by name and version.

        Raises ModelNotLoaded for a digest and NotFound for a name that is not held, and
        InvalidArgument where an empty name is ambiguous.
        """
        if ref.digest:
            return self._find_digest(ref.digest)
        if not self._by_digest:
            raise NotFound("no model is served here", field="model")
        found = [held for held in self.held() if _matches(held.model, ref)]
        if not found:
            raise NotFound(f"model {_wanted(ref)} is not served here", field="model")
        if not ref.name and len({held.model.name for held in found}) > 1:
            raise InvalidArgument("model.name is empty and several are served", field="model.name")
        return found[-1]

    def _find_digest(self, digest: str) -> Held[T]:
        try:
            return self._by_digest[digest]
        except KeyError:
            raise ModelNotLoaded("this replica does not hold that digest", field="model") from None


def _matches(model: types.ModelRef, ref: types.ModelRef) -> bool:
    return ref.name in ("", model.name) and ref.version in ("", model.version)


def _wanted(ref: types.ModelRef) -> str:
    version = f" of version '{ref.version[:128]}'" if ref.version else ""
    return f"'{ref.name[:128]}'{version}"
