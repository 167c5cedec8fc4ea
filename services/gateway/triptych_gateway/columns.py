"""Results in columns: empty, divided among the requests of a call, and joined from chunks."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from itertools import accumulate
from typing import Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.tasks import (
    Classes,
    Classify,
    EmbedOptions,
    Entities,
    Pieced,
    Pieces,
    Task,
    TaskResult,
)

BITS = 8
R = TypeVar("R", Classes, Entities)
S = TypeVar("S", list[Any], NDArray[Any], Sequence[Any])


def empty_result(model: Bundle, task: Task) -> TaskResult:
    """What a task makes of no inputs."""
    if isinstance(task, EmbedOptions):
        return np.empty((0, embedding_width(model, task)), task.dtype)
    ints, floats = np.empty(0, np.int32), np.empty(0, np.float32)
    if isinstance(task, Classify):
        shape, labels = (0, task.width), task.head.head.labels
        return Classes(ints.reshape(shape), floats.reshape(shape), labels)
    return Entities(ints, ints, ints, ints, floats, ())


def no_pieces(model: Bundle, options: EmbedOptions, **rest: Any) -> Pieced:
    """What there is of no texts that are embedded piece by piece."""
    ints, embeddings = np.empty(0, np.int32), cast("NDArray[Any]", empty_result(model, options))
    pieces = Pieces(ints, ints, ints, ints.astype(bool))
    return Pieced(model=model, embeddings=embeddings, pieces=pieces, **rest)


def embedding_width(model: Bundle, options: EmbedOptions) -> int:
    """Numbers of an embedding; eight dimensions share one where they are bits."""
    dimensions = options.dimensions or model.hidden_size
    return -(-dimensions // BITS) if options.dtype == "uint8" else dimensions


def divide(
    result: TaskResult, counts: Sequence[int], surviving: Sequence[int]
) -> Sequence[TaskResult]:
    """The part of each entry of a call, which had so many items and so many without error."""
    if isinstance(result, Entities):
        return list(_divide_entities(result, counts))
    if isinstance(result, Classes):
        ids, scores = split(result.label_ids, surviving), split(result.scores, surviving)
        return [Classes(*part, result.labels) for part in zip(ids, scores, strict=True)]
    return split(result, surviving)


def split(column: S, sizes: Sequence[int]) -> list[S]:
    """Parts of a list, or views on an array, so many rows for each entry."""
    if len(sizes) == 1:
        return [column]
    return [column[end - size : end] for size, end in zip(sizes, accumulate(sizes), strict=True)]


def sum_runs(values: NDArray[np.int32], sizes: Sequence[int]) -> list[int]:
    """Sums of `values`, so many for each entry."""
    if len(sizes) == 1:
        return [int(values.sum(dtype=np.int64))]
    sums = np.concatenate(([0], np.cumsum(values, dtype=np.int64)))
    runs: list[int] = np.diff(sums[np.cumsum(sizes)], prepend=0).tolist()
    return runs


def _divide_entities(result: Entities, counts: Sequence[int]) -> Iterable[Entities]:
    ends = np.cumsum(counts)
    borders = np.searchsorted(result.item_index, ends, side="left")
    start = 0
    for count, end, border in zip(counts, ends.tolist(), borders.tolist(), strict=True):
        run = slice(start, border)
        yield Entities(
            result.item_index[run] - np.int32(end - count),
            result.start[run],
            result.end[run],
            result.label_id[run],
            result.score[run],
            result.labels,
        )
        start = border


def join(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """The arrays one after the other."""
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def join_results(parts: Sequence[TaskResult], starts: Sequence[int]) -> TaskResult:
    """Results of the chunks of a request; those of each begin with item `start` of it."""
    if len(parts) == 1:
        return parts[0]
    if isinstance(parts[0], Entities):
        return _join_entities(cast("Sequence[Entities]", parts), starts)
    if isinstance(parts[0], Classes):
        classes = _same_labels(cast("Sequence[Classes]", parts))
        ids = join([part.label_ids for part in classes])
        return Classes(ids, join([part.scores for part in classes]), classes[0].labels)
    return join(cast("Sequence[NDArray[Any]]", parts))


def _join_entities(parts: Sequence[Entities], starts: Sequence[int]) -> Entities:
    parts = _same_labels(parts)
    index = [part.item_index + np.int32(start) for part, start in zip(parts, starts, strict=True)]
    return Entities(
        join(index),
        join([part.start for part in parts]),
        join([part.end for part in parts]),
        join([part.label_id for part in parts]),
        join([part.score for part in parts]),
        parts[0].labels,
    )


def _same_labels(parts: Sequence[R]) -> Sequence[R]:
    """The parts with one table of labels for all: each stage call brings its own."""
    if len({tuple(part.labels) for part in parts}) == 1:
        return parts
    labels = list(dict.fromkeys(label for part in parts for label in part.labels))
    place = {label: index for index, label in enumerate(labels)}
    return [_with_labels(part, labels, [place[label] for label in part.labels]) for part in parts]


def _with_labels(part: R, labels: Sequence[str], places: Sequence[int]) -> R:
    moved = np.array(places, np.int32)
    if isinstance(part, Entities):
        ids = moved[part.label_id] if len(part) else part.label_id
        return replace(part, label_id=ids, labels=labels)
    ids = moved[part.label_ids] if len(part) else part.label_ids
    return replace(part, label_ids=ids, labels=labels)
