"""Putting the chunks of a request together again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.chunk import Chunk
from triptych_gateway.columns import join, join_results
from triptych_gateway.pieces import Pooled
from triptych_gateway.tasks import (
    Analyzed,
    Detokenized,
    Pieced,
    Pieces,
    TaskResult,
    Timing,
    Tokens,
    Usage,
)
from triptych_gateway.work import DetokenizeResult, TokenizeResult
from triptych_servicekit.errors import TriptychError

Errors = dict[int, TriptychError]


@dataclass(frozen=True, slots=True)
class Merged:
    """What all chunks of a request have in common."""

    usage: Usage
    errors: Errors
    timing: Timing

    @classmethod
    def of(cls, chunks: Sequence[Chunk]) -> "Merged":
        """Of at least one chunk."""
        errors = _shifted([chunk.errors for chunk in chunks], [chunk.size for chunk in chunks])
        timing = max((chunk.timing for chunk in chunks), key=lambda timing: timing.total)
        return cls(usage(chunks), errors, timing)


def analyzed(model: Bundle, chunks: Sequence[Chunk]) -> Analyzed:
    """The answer of all chunks."""
    merged = Merged.of(chunks)
    return Analyzed(
        model=model,
        results=_results(chunks),
        usage=merged.usage,
        errors=merged.errors,
        timing=merged.timing,
    )


def pieced(model: Bundle, parts: Sequence[tuple[Chunk, Pooled]]) -> Pieced:
    """The answer of all parts' texts and pieces."""
    chunks, pooled = [chunk for chunk, _ in parts], [pooled for _, pooled in parts]
    merged, columns = Merged.of(chunks), [one.pieces for one in pooled]
    starts = _starts([chunk.size for chunk in chunks])
    places = Pieces(
        join([one.item_index + np.int32(at) for one, at in zip(columns, starts, strict=True)]),
        join([one.start for one in columns]),
        join([one.end for one in columns]),
        join([one.late for one in columns]),
    )
    return Pieced(
        model=model,
        embeddings=join([one.rows for one in pooled]),
        pieces=places,
        usage=merged.usage,
        errors=merged.errors,
        timing=merged.timing,
    )


def usage(chunks: Sequence[Chunk]) -> Usage:
    """Tokens of all chunks' inputs."""
    parts = [chunk.spent() for chunk in chunks]
    return Usage(
        join([part.total_tokens for part in parts]), join([part.kept_tokens for part in parts])
    )


def rows(chunks: Sequence[Chunk]) -> NDArray[Any]:
    """The first output of the encoder for all inputs without error, at least one, [N, width]."""
    return join([chunk.arrays[0] for chunk in chunks if len(chunk)])


def tokens(model: Bundle, parts: Sequence[TokenizeResult]) -> Tokens:
    """The token sequences of all parts."""
    counts = join([part.total_tokens for part in parts])
    kept = join([part.kept_tokens for part in parts])
    sizes = [len(part.total_tokens) for part in parts]
    return Tokens(
        model=model,
        input_ids=join([part.input_ids for part in parts]),
        lengths=join([part.lengths for part in parts]),
        usage=Usage(counts, kept),
        token_type_ids=_column([part.token_type_ids for part in parts], parts),
        offsets=_join_present([part.offsets for part in parts]),
        special_tokens_mask=_join_present([part.special_tokens_mask for part in parts]),
        errors=_shifted([part.errors for part in parts], sizes),
        timing=Timing(tokenize=max(part.times[0].compute for part in parts)),
    )


def detokenized(model: Bundle, parts: Sequence[DetokenizeResult]) -> Detokenized:
    """The texts of all parts."""
    sizes = [len(part.texts) for part in parts]
    return Detokenized(
        model,
        [text for part in parts for text in part.texts],
        _shifted([part.errors for part in parts], sizes),
        Timing(tokenize=max(part.times[0].compute for part in parts)),
    )


def _results(chunks: Sequence[Chunk]) -> list[TaskResult]:
    """The results of all tasks."""
    starts = _starts([chunk.size for chunk in chunks])
    tasks = zip(*(chunk.results or () for chunk in chunks), strict=True)
    return [join_results(parts, starts) for parts in tasks]


def _shifted(parts: Sequence[Mapping[int, TriptychError]], sizes: Sequence[int]) -> Errors:
    """Errors of all parts, counted from the first input of the request."""
    return {
        start + index: error
        for start, part in zip(_starts(sizes), parts, strict=True)
        for index, error in part.items()
    }


def _starts(sizes: Sequence[int]) -> list[int]:
    """Where each part begins."""
    return list(accumulate(sizes, initial=0))[:-1]


def _join_present(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    return join(present) if present else None


def _column(
    arrays: Sequence[NDArray[Any] | None], parts: Sequence[TokenizeResult]
) -> NDArray[Any] | None:
    """A column that parts may leave out for all zeros; None where every part does."""
    if all(array is None for array in arrays):
        return None
    return join(
        [
            np.zeros_like(part.input_ids) if array is None else array
            for array, part in zip(arrays, parts, strict=True)
        ]
    )
