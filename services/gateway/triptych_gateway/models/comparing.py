"""Whether two versions gave the same answer, as far as a client would care.

Vectors are the same from a cosine of MIN_COSINE on, row by row, and vectors of bits while no more
than MAX_FLIPPED_BITS of a row differ, which is what that cosine amounts to; scores are the same
within SCORE_TOLERANCE, whole numbers when they are equal. Of classes the best label of each input
counts, of entities where they are and their labels, of a ranking the best document. What an answer
cost and which bundle gave it is not compared.
"""

from collections.abc import Mapping, Sequence
from dataclasses import fields, is_dataclass
from functools import singledispatch
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.tasks import Timing, Usage
from triptych_servicekit.errors import TriptychError

MIN_COSINE: Final = 0.999
SCORE_TOLERANCE: Final = 0.01
# Two random hyperplanes' signs differ with the angle over pi: 0.014 at a cosine of 0.999.
MAX_FLIPPED_BITS: Final = 0.02


@singledispatch
def same(first: object, second: object) -> bool:
    """Whether `second` says what `first` says. Dataclasses: by their columns, else every field."""
    if type(first) is not type(second):
        return False
    if not is_dataclass(first):
        return bool(first == second)
    names = {field.name for field in fields(first)}
    for columns, rule in _RULES:
        if columns <= names:
            return rule(first, second)
    return all(same(getattr(first, name), getattr(second, name)) for name in names)


@same.register(Bundle)
@same.register(Usage)
@same.register(Timing)
def _not_compared(first: object, second: object) -> bool:  # noqa: ARG001
    return True


@same.register
def _same_errors(first: TriptychError, second: object) -> bool:
    return isinstance(second, TriptychError) and first.reason == second.reason


@same.register
def _same_mappings(first: Mapping, second: object) -> bool:  # type: ignore[type-arg]
    if not isinstance(second, Mapping) or first.keys() != second.keys():
        return False
    return all(same(value, second[key]) for key, value in first.items())


@same.register(list)
@same.register(tuple)
def _same_sequences(first: Sequence[object], second: object) -> bool:
    if not isinstance(second, (list, tuple)) or len(first) != len(second):
        return False
    return all(map(same, first, second))


@same.register
def _same_arrays(first: np.ndarray, second: object) -> bool:
    if not isinstance(second, np.ndarray) or first.shape != second.shape:
        return False
    if first.dtype != second.dtype:
        return False
    if first.ndim > 1 and first.dtype in (np.float32, np.float16, np.int8):
        return bool((_cosines(first, second) >= MIN_COSINE).all())
    if first.ndim > 1 and first.dtype == np.uint8:
        return bool((_flipped(first, second) <= MAX_FLIPPED_BITS).all())
    if np.issubdtype(first.dtype, np.floating):
        return bool((np.abs(first - second) <= SCORE_TOLERANCE).all())
    return bool(np.array_equal(first, second))


def _cosines(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float32]:
    """Of the rows of two arrays [..., N]; 1 for two rows of zeros, 0 for one."""
    first, second = first.astype(np.float32), second.astype(np.float32)
    lengths = np.linalg.norm(first, axis=-1) * np.linalg.norm(second, axis=-1)
    both = (first == second).all(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        cosines = (first * second).sum(axis=-1) / lengths
    found: NDArray[np.float32] = np.where(both, 1, np.nan_to_num(cosines))
    return found


def _flipped(first: NDArray[Any], second: NDArray[Any]) -> NDArray[np.float64]:
    """The share of bits in which the rows of two uint8 arrays [..., N] differ."""
    shares: NDArray[np.float64] = np.unpackbits(first ^ second, axis=-1).mean(axis=-1)
    return shares


def _same_best_labels(first: Any, second: Any) -> bool:
    """`label_ids` [N, K], best first, into `labels`; of a single label only the score says much."""
    if len(first.label_ids) != len(second.label_ids):
        return False
    if len(first.labels) == 1 and len(second.labels) == 1:
        return same(first.scores.ravel(), second.scores.ravel())
    return _best_labels(first) == _best_labels(second)


def _best_labels(classes: Any) -> list[str]:
    return [classes.labels[row[0]] if len(row) else "" for row in classes.label_ids]


def _same_spans(first: Any, second: Any) -> bool:
    return _spans(first) == _spans(second)


def _spans(entities: Any) -> set[tuple[int, int, int, str]]:
    """Item, start, end and label of each."""
    numbers = (entities.item_index, entities.start, entities.end)
    labels = [entities.labels[row] for row in entities.label_id]
    places = (column.tolist() for column in numbers)
    return set(zip(*places, labels, strict=True))


def _same_best_document(first: Any, second: Any) -> bool:
    best, other = first.document_index[:1].tolist(), second.document_index[:1].tolist()
    return bool(best == other) and same(first.errors, second.errors)


# What an answer is shows in its columns: rules apply to any type that has them.
_RULES: Final = (
    (frozenset({"item_index", "start", "end", "label_id", "labels"}), _same_spans),
    (frozenset({"label_ids", "scores", "labels"}), _same_best_labels),
    (frozenset({"document_index", "errors"}), _same_best_document),
)
