"""What a run of the graph costs: the price of a call, and the price of each token of its area."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

# A measurement outside of these was disturbed. On a CPU a call was seen to cost 12 to 20 tokens,
# whatever the precision; the bounds leave room for smaller models and slower libraries.
MIN_CALL_TOKENS: Final = 4.0
MAX_CALL_TOKENS: Final = 128.0

Shape = tuple[int, int]
"""Rows and width of a run, in sequences and in tokens."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """seconds = (call_tokens + rows * width) * seconds_per_token

    That is one worker's time while all of them are busy. `call_tokens` says how much padding may
    be added to save a call; 0 `seconds_per_token` is unknown.
    """

    call_tokens: float
    seconds_per_token: float = 0.0

    @classmethod
    def fit(cls, measured: Mapping[Shape, float]) -> "CostModel":
        """The model nearest to the seconds measured for some shapes.

        Least squares of the relative error, since small runs count as much as large ones.
        """
        areas = np.array([rows * width for rows, width in measured], np.float64)
        seconds = np.array(list(measured.values()))
        terms = np.stack([1 / seconds, areas / seconds], axis=1)
        (call, token), *_ = np.linalg.lstsq(terms, np.ones(len(seconds)), rcond=None)
        if token <= 0:  # a machine so busy that more work took less time
            call, token = 0.0, float(np.median(seconds / areas))
        bounded = np.clip(call / token, MIN_CALL_TOKENS, MAX_CALL_TOKENS)
        return cls(float(bounded), float(token))

    def seconds(self, rows: int, width: int) -> float:
        """What a run of this shape should take."""
        return (self.call_tokens + rows * width) * self.seconds_per_token
