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
class WindowOptions:
    """How long inputs are read whole: neighbouring windows share `stride` tokens.

    None is what Windowing chooses. `max_windows` bounds those of an input, `max_request_windows`
    those of all inputs together; 0: no bound.
    """

    stride: int | None = None
    max_windows: int = 0
    max_request_windows: int = 0


@dataclass(frozen=True, slots=True)
class TextOptions:
    """How inputs become tokens. `max_length` 0 means the model's, `prompt_name` "" its default.

    With `windows` nothing is cut, and `max_length` is that of a window.
    """

    truncation: Truncation = "right"
    max_length: int = 0
    prompt_name: str = ""
    add_special_tokens: bool = True
    layout: bool = False
    """Whether offsets and the special tokens mask are wanted as well."""
    word_ids: bool = False
    """Whether the word of each token is."""
    windows: WindowOptions | None = None


@dataclass(frozen=True, slots=True)
class Origin:
    """Whose request it is. `deadline` is on the clock of `time.monotonic`, `priority` 1 to 3."""

    deadline: float
    request_id: str
    traceparent: str = ""
    tracestate: str = ""
    tenant: str = ""
    priority: int = 2
