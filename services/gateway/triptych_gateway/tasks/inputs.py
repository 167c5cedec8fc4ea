"""What a request is about and whose it is."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

Truncation = Literal["error", "right", "left"]


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
    word_ids: bool = False
    """Whether the word of each token is."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose request it is. `deadline` is on the clock of `time.monotonic`, `priority` 1 to 3."""

    deadline: float
    request_id: str
    traceparent: str = ""
    tracestate: str = ""
    tenant: str = ""
    priority: int = 2
