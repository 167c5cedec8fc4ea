"""What comes back for a request, apart from any transport."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, Self

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.tasks.inputs import Input
from triptych_gateway.tasks.results import Classes, Entities, Pieces, TaskResult, place, quote
from triptych_servicekit.errors import TriptychError


@dataclass(slots=True)
class Timing:
    """Seconds a request spent: computing in each stage, and in `queue` waiting for any of them.

    Of a request in several parts, which run side by side, these are the times of the longest.
    """

    tokenize: float = 0.0
    queue: float = 0.0
    encode: float = 0.0
    postprocess: float = 0.0

    @property
    def total(self) -> float:
        """All of them."""
        return self.tokenize + self.queue + self.encode + self.postprocess


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of N inputs, int32 [N]: before cutting, and as encoded."""

    total_tokens: NDArray[np.int32]
    kept_tokens: NDArray[np.int32]

    @property
    def prompt_tokens(self) -> int:
        """Tokens that were encoded."""
        return int(self.kept_tokens.sum())

    @property
    def truncated(self) -> NDArray[np.bool_]:
        """[N]: whether the input was cut."""
        return self.kept_tokens < self.total_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Answered:
    """What every answer has; inputs in `errors`, by index, have no part in the rest."""

    model: Bundle
    usage: Usage
    errors: Mapping[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)

    def common(self) -> dict[str, Any]:
        """What every answer has, to make another kind of answer with."""
        return {name: getattr(self, name) for name in _COMMON}

    def placed(self, places: NDArray[np.int64]) -> Self:  # noqa: ARG002
        """The same with what was input i called `places[i]`, in all but usage and errors."""
        return self


_COMMON: Final = tuple(field.name for field in fields(Answered))


@dataclass(frozen=True, slots=True, kw_only=True)
class Embedded(Answered):
    """Answer to an embed request: a row for each input that has no error, in order."""

    embeddings: NDArray[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Pieced(Answered):
    """Answer to a request for embeddings of pieces of texts: a row for each of the pieces."""

    embeddings: NDArray[Any]
    pieces: Pieces

    def placed(self, places: NDArray[np.int64]) -> Self:
        """See Answered."""
        return replace(self, pieces=self.pieces.placed(places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Classified(Answered):
    """Answer to a classify request: a row for each input that has no error, in order."""

    classes: Classes


@dataclass(frozen=True, slots=True, kw_only=True)
class Tagged(Answered):
    """Answer to a tag request."""

    entities: Entities

    def placed(self, places: NDArray[np.int64]) -> Self:
        """See Answered."""
        return replace(self, entities=self.entities.placed(places))


@dataclass(frozen=True, slots=True, kw_only=True)
class Analyzed(Answered):
    """Answer to several tasks at once: a result for each, of the inputs that have no error."""

    results: Sequence[TaskResult]

    def placed(self, places: NDArray[np.int64]) -> Self:
        """See Answered."""
        return replace(self, results=[place(result, places) for result in self.results])

    def quoting(self, inputs: Sequence[Input]) -> Self:
        """The same with the texts of its entities."""
        if not any(isinstance(result, Entities) for result in self.results):
            return self
        return replace(self, results=[quote(result, inputs) for result in self.results])


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranked(Answered):
    """Answer to a rank request: int32 indices of documents, best first, and float32 scores.

    `errors` are those of documents. `usage` counts the query and then the documents, of a
    cross-encoder only the documents, each read together with the query.
    """

    document_index: NDArray[np.int32]
    scores: NDArray[np.float32]

    def placed(self, places: NDArray[np.int64]) -> Self:
        """See Answered."""
        return replace(self, document_index=places[self.document_index].astype(np.int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Similarities(Answered):
    """Answer to a similarity request: float32 scores of the pairs that have no error, in order.

    `usage` counts the distinct texts in order of first occurrence.
    """

    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens(Answered):
    """Token sequences of N inputs, one after the other; inputs in `errors` have none.

    `input_ids` int32 [T] and, where asked for or needed, `token_type_ids` [T], `offsets` [T, 2] in
    code points and `special_tokens_mask` [T]. `lengths` int32 has a row for each input without
    error.
    """

    input_ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    token_type_ids: NDArray[np.int32] | None = None
    offsets: NDArray[np.int32] | None = None
    special_tokens_mask: NDArray[np.int32] | None = None


@dataclass(frozen=True, slots=True)
class Detokenized:
    """Answer to a detokenize request: a text for each sequence, empty where it has an error."""

    model: Bundle
    texts: Sequence[str]
    errors: Mapping[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
