"""What a client may ask for and what it gets, apart from any transport."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_servicekit.errors import TriptychError

Pooling = Literal["", "cls", "mean", "last_token"]
Truncation = Literal["error", "right", "left"]
DType = Literal["float32", "float16", "int8", "uint8"]


@dataclass(frozen=True, slots=True)
class Pair:
    """Two texts read together."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class TokenIds:
    """A text as token ids."""

    ids: Sequence[int]


Input = str | Pair | TokenIds


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How inputs become tokens. `max_length` 0 means the model's, `prompt_name` "" its default."""

    truncation: Truncation = "right"
    max_length: int = 0
    prompt_name: str = ""
    add_special_tokens: bool = True
    layout: bool = False
    """Whether offsets and the special tokens mask are wanted as well."""


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How vectors become embeddings. None or empty: as the bundle says; `dimensions` 0: all."""

    pooling: Pooling = ""
    normalize: bool | None = None
    dimensions: int = 0
    dtype: DType = "float32"


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose request it is. `deadline` is on the clock of `time.monotonic`, `priority` 1 to 3."""

    deadline: float
    request_id: str
    traceparent: str = ""
    tracestate: str = ""
    tenant: str = ""
    priority: int = 2


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


@dataclass(frozen=True, slots=True)
class Embedded:
    """Answer to an embed request: a row for each input that has no entry in `errors`, in order."""

    model: Bundle
    embeddings: NDArray[Any]
    usage: Usage
    errors: Mapping[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Similarities:
    """Answer to a similarity request: float32 scores of the pairs that have no error, in order.

    `usage` counts the distinct texts in order of first occurrence.
    """

    model: Bundle
    scores: NDArray[np.float32]
    usage: Usage
    errors: Mapping[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Tokens:
    """Token sequences of N inputs, one after the other; inputs in `errors` have none.

    `input_ids` int32 [T] and, where asked for or needed, `token_type_ids` [T], `offsets` [T, 2] in
    code points and `special_tokens_mask` [T]. `lengths` int32 has a row for each input without
    error.
    """

    model: Bundle
    input_ids: NDArray[np.int32]
    lengths: NDArray[np.int32]
    usage: Usage
    token_type_ids: NDArray[np.int32] | None = None
    offsets: NDArray[np.int32] | None = None
    special_tokens_mask: NDArray[np.int32] | None = None
    errors: Mapping[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)


@dataclass(frozen=True, slots=True)
class Detokenized:
    """Answer to a detokenize request: a text for each sequence, empty where it has an error."""

    model: Bundle
    texts: Sequence[str]
    errors: Mapping[int, TriptychError] = field(default_factory=dict)
    timing: Timing = field(default_factory=Timing)
