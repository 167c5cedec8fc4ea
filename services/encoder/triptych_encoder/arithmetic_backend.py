"""A backend without a graph: vectors that follow from the ids by arithmetic.

For tests and for measuring what everything around the runtime costs.
"""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import HIDDEN, PaddedBatch


class ArithmeticBackend:
    """A token's vector is its id times 1, 2, ..., `hidden_size`.

    `seconds` is how long each run takes. An id equal to `poison` makes the run fail.
    """

    outputs = (HIDDEN, "pooled.cls", "pooled.mean", "pooled.last_token")

    def __init__(
        self, hidden_size: int = 4, seconds: float = 0.0, poison: int | None = None
    ) -> None:
        self._scale = np.arange(1, hidden_size + 1, dtype=np.float32)
        self._seconds = seconds
        self._poison = poison
        self.shapes: list[tuple[int, int]] = []

    def run(self, batch: PaddedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        """See Backend.run."""
        rows, width = batch.input_ids.shape
        self.shapes.append((rows, width))
        time.sleep(self._seconds)
        if self._poison is not None and (batch.input_ids == self._poison).any():
            raise RuntimeError("poison")
        computed = self._compute(batch)
        return [computed[name] for name in outputs]

    def _compute(self, batch: PaddedBatch) -> dict[str, NDArray[Any]]:
        mask = batch.attention_mask[..., None].astype(np.float32)
        hidden = batch.input_ids[..., None].astype(np.float32) * self._scale * mask
        lengths = batch.attention_mask.sum(axis=1)
        rows = np.arange(len(lengths))
        return {
            HIDDEN: hidden,
            "pooled.cls": hidden[:, 0],
            "pooled.mean": hidden.sum(axis=1) / lengths[:, None].astype(np.float32),
            "pooled.last_token": hidden[rows, lengths - 1],
        }

    def close(self) -> None:
        """Nothing to release."""
