"""What travels between the pipeline and the stages, apart from any transport.

Each work is its entry's part of a stage call; each result is its part of the answer, with a time
for each of the entry's callers.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.columns import join
from triptych_gateway.layout import Ints, Layout, others
from triptych_gateway.tasks import Input, TaskResult
from triptych_servicekit.errors import TriptychError

Arrays = tuple[NDArray[Any], ...]
Errors = Mapping[int, TriptychError]

# Vectors of segments of sequences; beside the names that a graph's outputs have.
SEGMENTS: Final = "segments"
Times = Sequence["StageTime"]


@dataclass(frozen=True, slots=True)
class StageTime:
    """Seconds in a stage: waiting for it to begin, and computing."""

    queue: float
    compute: float


@dataclass(frozen=True, slots=True)
class TokenizeWork:
    """Inputs to tokenize."""

    inputs: Sequence[Input]


@dataclass(frozen=True, slots=True)
class TokenizeResult:
    """Sequences of the inputs without error: `input_ids` [T] in all, `lengths` a row each.

    `total_tokens` and `kept_tokens` have a row for every input. An input may have several windows:
    `item_index` says whose each is, `window_start` which token of the text its first is.
    """

    input_ids: Ints
    lengths: Ints
    token_type_ids: Ints | None
    offsets: Ints | None
    word_ids: Ints | None
    special_tokens_mask: Ints | None
    total_tokens: Ints
    kept_tokens: Ints
    errors: Errors
    times: Times
    item_index: Ints | None = None
    window_start: Ints | None = None


@dataclass(frozen=True, slots=True)
class DetokenizeWork:
    """Sequences to decode."""

    input_ids: Ints
    lengths: Ints


@dataclass(frozen=True, slots=True)
class DetokenizeResult:
    """A text for each sequence, empty for those with an error."""

    texts: Sequence[str]
    errors: Errors
    times: Times


@dataclass(frozen=True, slots=True)
class EncodeWork:
    """Sequences to encode.

    `segments` [K, 3] are the pieces of them that are pooled apart, where that is what is wanted:
    sequence, ascending, first token, and the token after the last.
    """

    input_ids: Ints
    lengths: Ints
    token_type_ids: Ints | None
    segments: Ints | None = None

    @classmethod
    def joined(cls, works: "Sequence[EncodeWork]") -> "EncodeWork":
        """All of them, one after the other."""
        if len(works) == 1:
            return works[0]
        types = [
            np.zeros_like(work.input_ids) if work.token_type_ids is None else work.token_type_ids
            for work in works
        ]
        typed = any(work.token_type_ids is not None for work in works)
        return cls(
            join([work.input_ids for work in works]),
            join([work.lengths for work in works]),
            join(types) if typed else None,
            _join_segments(works),
        )

    def part(self, run: slice) -> "EncodeWork":
        """A run of the sequences."""
        first, last = (int(self.lengths[:end].sum(dtype=np.int64)) for end in (run.start, run.stop))
        types = None if self.token_type_ids is None else self.token_type_ids[first:last]
        segments = self.segments
        if segments is not None:
            rows = slice(*np.searchsorted(segments[:, 0], [run.start, run.stop]).tolist())
            segments = segments[rows] - np.array([run.start, 0, 0], np.int32)
        return EncodeWork(self.input_ids[first:last], self.lengths[run], types, segments)

    def segment_counts(self) -> Ints:
        """[S]: segments of each sequence."""
        if self.segments is None:
            return np.zeros(len(self.lengths), np.int32)
        return np.bincount(self.segments[:, 0], minlength=len(self.lengths)).astype(np.int32)

    def without(self, sequences: Collection[int]) -> "EncodeWork":
        """The other sequences."""
        keep, tokens = others(self.lengths, sequences)
        types = None if self.token_type_ids is None else self.token_type_ids[tokens]
        segments = None
        if self.segments is not None:
            segments = self.segments[keep[self.segments[:, 0]]]
            segments[:, 0] = (np.cumsum(keep) - 1)[segments[:, 0]]
        return EncodeWork(self.input_ids[tokens], self.lengths[keep], types, segments)


@dataclass(frozen=True, slots=True)
class EncodeResult:
    """An array for each output that was asked for, over the sequences without error.

    Pooled vectors [S, H] and logits [S, labels] have a row each, logits of tokens [T, labels] as
    many as the sequence has tokens.
    """

    arrays: Arrays
    errors: Errors
    times: Times


@dataclass(frozen=True, slots=True)
class AnswerWork:
    """Outputs of the encoder for `count` items, and their layout where a task reads it."""

    arrays: Arrays
    count: int
    layout: Layout | None = None


@dataclass(frozen=True, slots=True)
class DocumentWork:
    """Outputs of the encoder for the windows of `count` inputs, as AnswerWork has them.

    `lengths`, `item_index` and `window_start` [S] are of the windows; item_index counts from 0.
    """

    arrays: Arrays
    count: int
    lengths: Ints
    item_index: Ints
    window_start: Ints
    layout: Layout | None = None


@dataclass(frozen=True, slots=True)
class AnswerResult:
    """A result for each task, of the items without error."""

    results: Sequence[TaskResult]
    errors: Errors
    times: Times


@dataclass(frozen=True, slots=True)
class SimilarityWork:
    """Pooled vectors [M, H] and the pairs of rows to compare, int32 [P] each."""

    vectors: NDArray[np.float32]
    first: Ints
    second: Ints


@dataclass(frozen=True, slots=True)
class RowsResult:
    """Rows of an answer, for the items without error."""

    rows: NDArray[Any]
    errors: Errors
    times: Times


@dataclass(frozen=True, slots=True)
class RankWork:
    """Documents to rank, a row each, and the query's vector [1, H].

    Without a query the rows are of query and document read together.
    """

    documents: NDArray[np.float32]
    query: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class RankResult:
    """Rows of the documents, best first, with their scores; or why there are none."""

    document_index: Ints
    scores: NDArray[np.float32]
    error: TriptychError | None
    times: Times


def _join_segments(works: Sequence[EncodeWork]) -> Ints | None:
    """Their segments, counted from the first sequence of all."""
    starts = accumulate((len(work.lengths) for work in works), initial=0)
    parts = [
        work.segments + np.array([start, 0, 0], np.int32)
        for work, start in zip(works, starts, strict=False)
        if work.segments is not None
    ]
    return join(parts) if parts else None
