"""The seam between batching and whatever runs the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import HIDDEN_OUTPUT, LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT

HIDDEN: Final = HIDDEN_OUTPUT
LOGITS: Final = LOGITS_OUTPUT
TOKEN_LOGITS: Final = TOKEN_LOGITS_OUTPUT


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """B sequences padded on the right to the longest, S tokens.

    `input_ids`, `attention_mask` and `token_type_ids` are int32 [B, S]; the mask is 1 for real
    tokens and 0 for padding.
    """

    input_ids: NDArray[np.int32]
    attention_mask: NDArray[np.int32]
    token_type_ids: NDArray[np.int32]


class Backend(Protocol):
    """Runs the graph of one model. `run` is called from several threads at once."""

    @property
    def description(self) -> str:
        """What runs it, in a few words: the runtime, its version, its precision."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names that `run` can be asked for: pooled vectors, logits, hidden states."""

    @property
    def reads_token_types(self) -> bool:
        """Whether `token_type_ids` make a difference."""

    def run(self, batch: PaddedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        """One float32 array for each of `outputs`.

        `pooled.<pooling>` [B, H], `logits` [B, labels], `last_hidden_state` [B, S, H] and
        `token_logits` [B, S, labels].
        """

    def close(self) -> None:
        """Release the graph."""
