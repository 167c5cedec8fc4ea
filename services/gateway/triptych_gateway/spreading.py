"""Answers to the inputs that were not refused, spread over all inputs of the request."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import count
from typing import TypeVar

import numpy as np

from triptych_gateway.bounds import Names
from triptych_gateway.naming import under_name
from triptych_gateway.pairs import distinct_texts
from triptych_gateway.tasks import Answered, Pair, Usage
from triptych_servicekit.errors import TriptychError

T = TypeVar("T")
A = TypeVar("A", bound=Answered)
Errors = Mapping[int, TriptychError]


def raise_first(errors: Errors) -> None:
    """Raise the error of the first item that has one.

    A copy: raised itself, it would hold the frames that hold it, and with them the whole request,
    until the collector's next pass.
    """
    if errors:
        raise copy.copy(errors[min(errors)])


def without(items: Sequence[T], refused: Errors) -> Sequence[T]:
    """The items that were not refused."""
    if not refused:
        return items
    return [item for index, item in enumerate(items) if index not in refused]


def spread(found: A, refused: Errors, total: int, names: Names) -> A:
    """An answer among `total` items, some of which were refused; `names` are the request's."""
    if not refused and not found.errors:
        return found
    errors = merged(refused, found.errors, total, names)
    if not refused:
        return replace(found, errors=errors)
    left = np.array([index for index in range(total) if index not in refused])
    usage = spread_usage(found.usage, refused, len(left))
    return replace(found.placed(left), errors=errors, usage=usage)


def merged(refused: Errors, found: Errors, total: int, names: Names) -> Errors:
    """All errors by their index in the request; `found` counts only what was not refused."""
    if not found:
        return refused
    left = [index for index in range(total) if index not in refused]
    renamed = {
        left[index]: under_name(error, names.of(left[index])) for index, error in found.items()
    }
    return dict(sorted({**refused, **renamed}.items()))


def spread_usage(usage: Usage, refused: Errors, good: int) -> Usage:
    """Usage of all items from that of the `good` ones, which may have others' before it."""
    before = len(usage.total_tokens) - good
    rows = count(before)
    items = [-1 if index in refused else next(rows) for index in range(good + len(refused))]
    return _rearranged(usage, [*range(before), *items])


def usage_by_text(usage: Usage, good: Sequence[Pair], pairs: Sequence[Pair]) -> Usage:
    """Usage of the texts of `pairs` from that of the texts of `good`."""
    rows = {text: row for row, text in enumerate(distinct_texts(good))}
    return _rearranged(usage, [rows.get(text, -1) for text in distinct_texts(pairs)])


def no_usage(rows: int) -> Usage:
    """That of items which were all refused."""
    return Usage(np.zeros(rows, np.int32), np.zeros(rows, np.int32))


def _rearranged(usage: Usage, rows: Sequence[int]) -> Usage:
    """The named rows of a usage; -1 is a row of zeros."""
    total, kept = (
        np.append(column, np.int32(0))[rows] for column in (usage.total_tokens, usage.kept_tokens)
    )
    return Usage(total, kept)
