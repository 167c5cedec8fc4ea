"""Putting the chunks of a request together again."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.tasks import Detokenized, Embedded, Timing, Tokens, Usage
from triptych_gateway.work import DetokenizeResult, RowsResult, TokenizeResult
from triptych_servicekit.errors import TriptychError

Errors = dict[int, TriptychError]


class Chunk:
    """Some inputs of a request on their way: `rows` are those of the inputs without error.

    `positions` are the indices of these inputs in the chunk; `errors` has the others.
    """

    def __init__(
        self,
        tokenized: TokenizeResult,
        rows: NDArray[Any],
        positions: NDArray[np.int64],
        timing: Timing,
    ) -> None:
        self.tokenized = tokenized
        self.rows = rows
        self.positions = positions
        self.errors: Errors = dict(tokenized.errors)
        self.timing = timing

    @classmethod
    def of(cls, tokenized: TokenizeResult, held: float, width: int) -> "Chunk":
        """A chunk that has been tokenized and has no vectors, of `width` numbers, yet.

        `held` is how many seconds it waited here before it went out.
        """
        keep = np.ones(len(tokenized.total_tokens), bool)
        keep[list(tokenized.errors)] = False
        timing = Timing(tokenize=tokenized.time.compute, queue=held + tokenized.time.queue)
        nothing = np.empty((0, width), np.float32)
        return cls(tokenized, nothing, np.flatnonzero(keep), timing)

    def take_vectors(self, encoded: RowsResult, held: float) -> None:
        """The encoder has answered."""
        self.timing.encode = encoded.time.compute
        self.timing.queue += held + encoded.time.queue
        self._take(encoded)

    def take_answer(self, answer: RowsResult, held: float) -> None:
        """Postprocess has answered."""
        self.timing.postprocess = answer.time.compute
        self.timing.queue += held + answer.time.queue
        self._take(answer)

    def _take(self, result: RowsResult) -> None:
        """New rows; errors of theirs are counted from the rows that were sent."""
        self.rows = result.rows
        for index, error in result.errors.items():
            self.errors[int(self.positions[index])] = error
        self.positions = np.delete(self.positions, list(result.errors))

    def usage(self) -> Usage:
        """Tokens of every input; nothing was kept of those that failed."""
        kept = self.tokenized.kept_tokens
        if self.errors:
            kept = kept.copy()
            kept[list(self.errors)] = 0
        return Usage(self.tokenized.total_tokens, kept)


def embedded(model: Bundle, chunks: Sequence[Chunk]) -> Embedded:
    """The answer of all chunks."""
    rows = [chunk.rows for chunk in chunks if len(chunk.rows)] or [chunks[0].rows]
    timing = max((chunk.timing for chunk in chunks), key=lambda timing: timing.total)
    sizes = [len(chunk.tokenized.total_tokens) for chunk in chunks]
    errors = _shifted([chunk.errors for chunk in chunks], sizes)
    return Embedded(model, _join(rows), usage(chunks), errors, timing)


def usage(chunks: Sequence[Chunk]) -> Usage:
    """Tokens of all chunks' inputs."""
    parts = [chunk.usage() for chunk in chunks]
    return Usage(
        _join([part.total_tokens for part in parts]), _join([part.kept_tokens for part in parts])
    )


def tokens(model: Bundle, parts: Sequence[TokenizeResult]) -> Tokens:
    """The token sequences of all parts."""
    counts = _join([part.total_tokens for part in parts])
    kept = _join([part.kept_tokens for part in parts])
    sizes = [len(part.total_tokens) for part in parts]
    return Tokens(
        model=model,
        input_ids=_join([part.input_ids for part in parts]),
        lengths=_join([part.lengths for part in parts]),
        usage=Usage(counts, kept),
        token_type_ids=_column([part.token_type_ids for part in parts], parts),
        offsets=_join_present([part.offsets for part in parts]),
        special_tokens_mask=_join_present([part.special_tokens_mask for part in parts]),
        errors=_shifted([part.errors for part in parts], sizes),
        timing=Timing(tokenize=max(part.time.compute for part in parts)),
    )


def detokenized(model: Bundle, parts: Sequence[DetokenizeResult]) -> Detokenized:
    """The texts of all parts."""
    sizes = [len(part.texts) for part in parts]
    return Detokenized(
        model,
        [text for part in parts for text in part.texts],
        _shifted([part.errors for part in parts], sizes),
        Timing(tokenize=max(part.time.compute for part in parts)),
    )


def _shifted(parts: Sequence[Mapping[int, TriptychError]], sizes: Sequence[int]) -> Errors:
    """Errors of all parts, counted from the first input of the request."""
    errors: Errors = {}
    start = 0
    for part, size in zip(parts, sizes, strict=True):
        errors |= {start + index: error for index, error in part.items()}
        start += size
    return errors


def _join(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _join_present(arrays: Sequence[NDArray[Any] | None]) -> NDArray[Any] | None:
    present = [array for array in arrays if array is not None]
    return _join(present) if present else None


def _column(
    arrays: Sequence[NDArray[Any] | None], parts: Sequence[TokenizeResult]
) -> NDArray[Any] | None:
    """A column that parts may leave out for all zeros; None where every part does."""
    if all(array is None for array in arrays):
        return None
    return _join(
        [
            np.zeros_like(part.input_ids) if array is None else array
            for array, part in zip(arrays, parts, strict=True)
        ]
    )
