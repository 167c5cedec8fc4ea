"""The seam between batching and whatever runs the graph."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

HIDDEN = "last_hidden_state"
POOLED_PREFIX = "pooled."


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
    def outputs(self) -> Sequence[str]:
        """Names that `run` can be asked for: `pooled.<pooling>` and `last_hidden_state`."""

    def run(self, batch: PaddedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        """One array for each of `outputs`: pooled float32 [B, H], hidden float32 [B, S, H]."""

    def close(self) -> None:
        """Release the graph."""
