"""What a call is answered with: a model, and the heads that the call names, kept for its length."""

import contextlib
import re
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from typing import Final

from triptych.v1 import types_pb2 as types
from triptych_postprocess.heads import Classifier
from triptych_postprocess.loading import PostprocessModel
from triptych_servicekit.callers import Call
from triptych_servicekit.errors import InvalidArgument, ModelNotLoaded, NotFound
from triptych_servicekit.registry import LiveRegistry

_DIGEST: Final = re.compile(r"[0-9a-f]{64}")

# Where a request names heads, by the names.
HeadFields = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lent:
    """A model, its resolved reference, and the heads that were asked for, by the names used."""

    ref: types.ModelRef
    model: PostprocessModel
    heads: Mapping[str, Classifier]

    def head(self, name: str, field: str) -> Classifier:
        """The head of a name, the model's own where it is empty. Raises InvalidArgument."""
        if not name:
            return self._own(field)
        head = self.heads[name]
        if head.bundle and not head.bundle.fits(self.model.bundle):
            identity = self.model.bundle.identity
            message = f"{field}: the head was not trained on the vectors of {identity}"
            raise InvalidArgument(message, field=field)
        return head

    def _own(self, field: str) -> Classifier:
        if self.model.classifier is None:
            identity = self.model.bundle.identity
            message = f"{field} is empty, and {identity} has no head of its own"
            raise InvalidArgument(message, field=field)
        return self.model.classifier


class Lender:
    """Lends models and heads to calls."""

    def __init__(
        self, models: LiveRegistry[PostprocessModel], heads: LiveRegistry[Classifier]
    ) -> None:
        self._models = models
        self._heads = heads

    @contextlib.asynccontextmanager
    async def use(
        self, model: types.ModelRef, call: Call, fields: HeadFields | None = None
    ) -> AsyncIterator[Lent]:
        """A model and heads by name, `name@version` or digest.

        Errors as LiveRegistry.use; of a head they name the field that asks for it.
        """
        async with contextlib.AsyncExitStack() as stack:
            held = await stack.enter_async_context(self._models.use(model, call))
            heads = {
                name: await self._enter(stack, name, field, call)
                for name, field in (fields or {}).items()
                if name
            }
            yield Lent(held.model, held.value, heads)

    async def _enter(
        self, stack: contextlib.AsyncExitStack, name: str, field: str, call: Call
    ) -> Classifier:
        reference = _reference(name)
        try:
            # a name left out means the only one there is to the registry; no caller means that
            if not reference.name and not reference.digest:
                raise NotFound("no name")
            return (await stack.enter_async_context(self._heads.use(reference, call))).value
        except ModelNotLoaded:
            message = "this replica does not hold a head of that digest"
            raise ModelNotLoaded(message, field=field) from None
        except NotFound:
            message = f"{field}: head '{name[:128]}' is not served here"
            raise NotFound(message, field=field) from None


def _reference(name: str) -> types.ModelRef:
    if _DIGEST.fullmatch(name):
        return types.ModelRef(digest=name)
    name, _, version = name.partition("@")
    return types.ModelRef(name=name, version=version)
