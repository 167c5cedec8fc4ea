"""What travels between the pipeline and the stages, apart from any transport.

Each work is its entry's part of a stage call; each result is its part of the answer, with a time
for each of the entry's callers.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.columns import split
from triptych_gateway.tasks import Input, TaskResult
from triptych_servicekit.errors import TriptychError

Ints = NDArray[np.int32]
Arrays = tuple[NDArray[Any], ...]
Errors = Mapping[int, TriptychError]
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
class Layout:
    """Where the tokens of S sequences are in their texts.

    `lengths` [S]; of all T tokens `offsets` [T, 2] in code points, `word_ids` [T] and
    `special_tokens_mask` [T].
    """

    lengths: Ints
    offsets: Ints
    word_ids: Ints
    special_tokens_mask: Ints

    def without(self, sequences: Collection[int]) -> "Layout":
        """The layout of the other sequences."""
        keep, tokens = _others(self.lengths, sequences)
        return Layout(
            self.lengths[keep],
            self.offsets[tokens],
            self.word_ids[tokens],
            self.special_tokens_mask[tokens],
        )

    def split(self, sequences: Sequence[int], tokens: Sequence[int]) -> "list[Layout]":
        """Layouts of so many sequences each, which have so many tokens."""
        columns = (self.offsets, self.word_ids, self.special_tokens_mask)
        parts = zip(
            split(self.lengths, sequences), *(split(one, tokens) for one in columns), strict=True
        )
        return [Layout(*part) for part in parts]


@dataclass(frozen=True, slots=True)
class TokenizeResult:
    """Sequences of the inputs without error: `input_ids` [T] in all, `lengths` a row each.

    `total_tokens` and `kept_tokens` have a row for every input.
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
    """Sequences to encode."""

    input_ids: Ints
    lengths: Ints
    token_type_ids: Ints | None

    def without(self, sequences: Collection[int]) -> "EncodeWork":
        """The other sequences."""
        keep, tokens = _others(self.lengths, sequences)
        types = None if self.token_type_ids is None else self.token_type_ids[tokens]
        return EncodeWork(self.input_ids[tokens], self.lengths[keep], types)


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


def _others(
    lengths: Ints, sequences: Collection[int]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Masks [S] and [T] of the sequences that are not among these, and of their tokens."""
    keep = np.ones(len(lengths), bool)
    keep[list(sequences)] = False
    return keep, np.repeat(keep, lengths)
