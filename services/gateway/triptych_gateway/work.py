"""What travels between the pipeline and the stages, apart from any transport.

Each work is one request's part of a stage call; each result is its part of the answer.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.tasks import Input
from triptych_servicekit.errors import TriptychError

Ints = NDArray[np.int32]
Errors = Mapping[int, TriptychError]


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

    `total_tokens` and `kept_tokens` have a row for every input.
    """

    input_ids: Ints
    lengths: Ints
    token_type_ids: Ints | None
    offsets: Ints | None
    special_tokens_mask: Ints | None
    total_tokens: Ints
    kept_tokens: Ints
    errors: Errors
    time: StageTime


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
    time: StageTime


@dataclass(frozen=True, slots=True)
class EncodeWork:
    """Sequences to encode."""

    input_ids: Ints
    lengths: Ints
    token_type_ids: Ints | None


@dataclass(frozen=True, slots=True)
class RowsResult:
    """Rows of an answer, for the items without error: vectors, embeddings or scores."""

    rows: NDArray[Any]
    errors: Errors
    time: StageTime


@dataclass(frozen=True, slots=True)
class EmbedWork:
    """Pooled vectors [N, H] to make embeddings of."""

    vectors: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class SimilarityWork:
    """Pooled vectors [M, H] and the pairs of rows to compare, int32 [P] each."""

    vectors: NDArray[np.float32]
    first: Ints
    second: Ints
