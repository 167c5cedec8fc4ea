"""Requests held against the bounds; what is left of them goes to the platform."""

import copy
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TypeVar

import numpy as np

from triptych_gateway.bounds import Bounds, Names, check_embed, check_text
from triptych_gateway.pairs import distinct_texts
from triptych_gateway.platform import Platform
from triptych_gateway.routing import Router
from triptych_gateway.target import Target
from triptych_gateway.tasks import (
    Detokenized,
    Embedded,
    EmbedOptions,
    Input,
    Origin,
    Pair,
    Similarities,
    TextOptions,
    TokenIds,
    Tokens,
    Usage,
)
from triptych_servicekit.errors import TriptychError

T = TypeVar("T")
Errors = Mapping[int, TriptychError]


@dataclass(frozen=True, slots=True)
class Guard:
    """What every edge asks instead of the platform itself.

    Items that break a bound never get there; the others are answered, and all errors come back
    under the names that the request gave its items.
    """

    platform: Platform
    bounds: Bounds
    router: Router = field(default_factory=Router)

    async def embed(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        options: EmbedOptions,
        origin: Origin,
        *,
        all_or_none: bool = False,
    ) -> Embedded:
        """Embeddings; with `all_or_none` the first error of an item is raised instead."""
        check_text(target.model, text)
        check_embed(target.model, options)
        refused = self.bounds.refused(target.model, inputs, names)
        if all_or_none:
            raise_first(refused)
        good = _without(inputs, refused)
        if not good:
            nothing = np.empty((0, options.dimensions or target.model.hidden_size), np.float32)
            return Embedded(target.model, nothing, _no_usage(len(inputs)), refused)
        found = await self._ask(
            target, lambda to: self.platform.embed(to.model, good, text, options, origin)
        )
        if not refused and not found.errors:
            return found
        errors = _merge(refused, found.errors, len(inputs), names)
        if all_or_none:
            raise_first(errors)
        return replace(found, errors=errors, usage=_spread(found.usage, refused))

    async def similarity(
        self, target: Target, pairs: Sequence[Pair], names: Names, text: TextOptions, origin: Origin
    ) -> Similarities:
        """Similarities; a text that only refused pairs have counts no tokens."""
        check_text(target.model, text)
        refused = self.bounds.refused(target.model, pairs, names)
        good = _without(pairs, refused)
        if not good:
            usage = _no_usage(len(distinct_texts(pairs)))
            return Similarities(target.model, np.empty(0, np.float32), usage, refused)
        found = await self._ask(
            target, lambda to: self.platform.similarity(to.model, good, text, origin)
        )
        if not refused and not found.errors:
            return found
        errors = _merge(refused, found.errors, len(pairs), names)
        return replace(found, errors=errors, usage=_by_text(found.usage, good, pairs))

    async def tokenize(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        origin: Origin,
    ) -> Tokens:
        """Tokens."""
        check_text(target.model, text)
        refused = self.bounds.refused(target.model, inputs, names)
        good = _without(inputs, refused)
        if not good:
            nothing = np.empty(0, np.int32)
            return Tokens(target.model, nothing, nothing, _no_usage(len(inputs)), errors=refused)
        found = await self._ask(
            target, lambda to: self.platform.tokenize(to.model, good, text, origin)
        )
        errors = _merge(refused, found.errors, len(inputs), names)
        return replace(found, errors=errors, usage=_spread(found.usage, refused))

    async def detokenize(
        self,
        target: Target,
        sequences: Sequence[TokenIds],
        names: Names,
        include_special_tokens: bool,
        origin: Origin,
    ) -> Detokenized:
        """Texts."""
        refused = self.bounds.refused(target.model, sequences, names)
        good = _without(sequences, refused)
        if not good:
            return Detokenized(target.model, [""] * len(sequences), refused)
        found = await self._ask(
            target,
            lambda to: self.platform.detokenize(to.model, good, include_special_tokens, origin),
        )
        texts = iter(found.texts)
        spread = ["" if index in refused else next(texts) for index in range(len(sequences))]
        errors = _merge(refused, found.errors, len(sequences), names)
        return replace(found, texts=spread, errors=errors)

    async def _ask(self, target: Target, ask: Callable[[Target], Awaitable[T]]) -> T:
        return await self.router.run(target, ask)


def raise_first(errors: Errors) -> None:
    """Raise the error of the first item that has one.

    A copy: raised itself, it would hold the frames that hold it, and with them the whole request,
    until the collector's next pass.
    """
    if errors:
        raise copy.copy(errors[min(errors)])


def _without(items: Sequence[T], refused: Errors) -> Sequence[T]:
    if not refused:
        return items
    return [item for index, item in enumerate(items) if index not in refused]


def _merge(refused: Errors, found: Errors, total: int, names: Names) -> Errors:
    """All errors by their index in the request; `found` counts only what was not refused."""
    if not found:
        return refused
    left = [index for index in range(total) if index not in refused]
    renamed = {left[index]: _rename(error, names, left[index]) for index, error in found.items()}
    return dict(sorted({**refused, **renamed}.items()))


def _rename(error: TriptychError, names: Names, index: int) -> TriptychError:
    """The same error under the request's own name for the item: a stage counts within its call."""
    field = names.of(index)
    message = error.message.replace(error.field, field) if error.field else error.message
    return type(error)(message, reason=error.reason, field=field, retry_after=error.retry_after)


def _spread(usage: Usage, refused: Errors) -> Usage:
    """Usage of all items from that of the items that were not refused."""
    if not refused:
        return usage
    rows = count()
    total = len(usage.total_tokens) + len(refused)
    return _rearranged(usage, [-1 if index in refused else next(rows) for index in range(total)])


def _by_text(usage: Usage, good: Sequence[Pair], pairs: Sequence[Pair]) -> Usage:
    """Usage of the texts of `pairs` from that of the texts of `good`."""
    rows = {text: row for row, text in enumerate(distinct_texts(good))}
    return _rearranged(usage, [rows.get(text, -1) for text in distinct_texts(pairs)])


def _rearranged(usage: Usage, rows: Sequence[int]) -> Usage:
    """The named rows of a usage; -1 is a row of zeros."""
    total, kept = (
        np.append(column, np.int32(0))[rows] for column in (usage.total_tokens, usage.kept_tokens)
    )
    return Usage(total, kept)


def _no_usage(rows: int) -> Usage:
    return Usage(np.zeros(rows, np.int32), np.zeros(rows, np.int32))
