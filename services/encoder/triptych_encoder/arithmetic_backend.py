"""A backend without a graph: vectors that follow from the ids by arithmetic.

For tests and for measuring what everything around the runtime costs.
"""

import threading
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import HIDDEN, LOGITS, TOKEN_LOGITS, RaggedBatch
from triptych_encoder.cost import CostModel
from triptych_encoder.padding import PaddedBatch, pad


class ArithmeticBackend:
    """A token's vector is its id times 1, 2, ..., `hidden_size`.

    Its logits are the id times -1, -2, ..., -`labels`; those of a sequence are the sums of its
    tokens'. `seconds` is how long each run takes, once `gate` is open. An id equal to `poison`
    makes the run fail. `shapes` are the rows and columns of each run that has begun.
    """

    description = "arithmetic"
    outputs = (HIDDEN, "pooled.cls", "pooled.mean", "pooled.last_token", LOGITS, TOKEN_LOGITS)
    reads_token_types = True
    max_segments = 0
    cost_model = CostModel

    def __init__(
        self,
        hidden_size: int = 4,
        seconds: float = 0.0,
        poison: int | None = None,
        labels: int = 3,
        gate: threading.Event | None = None,
    ) -> None:
        self._scale = np.arange(1, hidden_size + 1, dtype=np.float32)
        self._label_scale = -np.arange(1, labels + 1, dtype=np.float32)
        self._seconds = seconds
        self._poison = poison
        self._gate = gate
        self.shapes: list[tuple[int, int]] = []

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> list[NDArray[Any]]:
        """See Backend.run."""
        self.shapes.append((len(batch.lengths), int(batch.lengths.max())))
        if self._gate is not None:
            self._gate.wait()
        time.sleep(self._seconds)
        if self._poison is not None and (batch.input_ids == self._poison).any():
            raise RuntimeError("poison")
        computed = self._compute(pad(batch))
        return [computed[name] for name in outputs]

    def _compute(self, batch: PaddedBatch) -> dict[str, NDArray[Any]]:
        mask = batch.attention_mask[..., None].astype(np.float32)
        ids = batch.input_ids[..., None].astype(np.float32) * mask
        hidden, token_logits = ids * self._scale, ids * self._label_scale
        lengths = batch.attention_mask.sum(axis=1)
        rows = np.arange(len(lengths))
        return {
            HIDDEN: hidden,
            "pooled.cls": hidden[:, 0],
            "pooled.mean": hidden.sum(axis=1) / lengths[:, None].astype(np.float32),
            "pooled.last_token": hidden[rows, lengths - 1],
            LOGITS: token_logits.sum(axis=1),
            TOKEN_LOGITS: token_logits,
        }

    def close(self) -> None:
        """Release the runs that wait for the gate."""
        if self._gate is not None:
            self._gate.set()
