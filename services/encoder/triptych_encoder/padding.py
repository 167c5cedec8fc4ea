"""Padding: what a backend reads whose graph takes rectangles."""

from dataclasses import dataclass

import numpy as np

from triptych_encoder.backend import Ints, RaggedBatch


@dataclass(frozen=True, slots=True)
class PaddedBatch:
    """B sequences padded on the right to the longest, S tokens.

    `input_ids`, `attention_mask` and `token_type_ids` are int32 [B, S]; the mask is 1 for real
    tokens and 0 for padding.
    """

    input_ids: Ints
    attention_mask: Ints
    token_type_ids: Ints


def pad(batch: RaggedBatch) -> PaddedBatch:
    """The rectangle of a batch, filled up with 0."""
    real = np.arange(batch.lengths.max()) < batch.lengths[:, None]
    ids, types = (np.zeros(real.shape, np.int32) for _ in range(2))
    ids[real] = batch.input_ids
    if batch.token_type_ids is not None:
        types[real] = batch.token_type_ids
    return PaddedBatch(ids, real.astype(np.int32), types)
