"""What a run of the graph costs: the price of a call, and the price of each token of its area.

Which entries share a run follows from what runs cost, so each kind of model chooses them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Self

import numpy as np

from triptych_encoder.cutting import call_around
from triptych_encoder.entry import Entry
from triptych_encoder.queue import LengthQueue

Shape = tuple[int, int]
"""Rows and width of a run, in sequences and in tokens."""


@dataclass(frozen=True, slots=True)
class CostModel:
    """seconds = (call_tokens + area) * seconds_per_token, of a backend that pads.

    That is one worker's time while all of them are busy. `call_tokens` says how much padding may
    be added to save a call; 0 `seconds_per_token` is unknown.
    """

    batch_tokens: ClassVar[int] = 512
    """Largest area of a run, unless the settings say another: more only leaves a CPU's cache."""
    bounds: ClassVar[tuple[float, float]] = (4.0, 128.0)
    """Of `call_tokens`: a measurement outside was disturbed. On a CPU a call was seen to cost 12 to
    20 tokens, whatever the precision; this leaves room for smaller models and slower libraries."""
    splits: ClassVar[bool] = True
    """Whether idle workers compute beside each other, so that two halves of a run are done sooner
    than all of it."""
    shapes: ClassVar[Sequence[Shape]] = ((1, 8), (2, 16), (4, 16), (4, 32), (4, 64), (2, 128))
    """What is measured: small runs tell the price of a call, large ones that of a token."""

    call_tokens: float
    seconds_per_token: float = 0.0

    @classmethod
    def fit(cls, measured: Mapping[Shape, float]) -> Self:
        """The model nearest to the seconds measured for some shapes.

        Least squares of the relative error, since small runs count as much as large ones.
        """
        areas = np.array([rows * width for rows, width in measured], np.float64)
        seconds = np.array(list(measured.values()))
        terms = np.stack([1 / seconds, areas / seconds], axis=1)
        (call, token), *_ = np.linalg.lstsq(terms, np.ones(len(seconds)), rcond=None)
        if token <= 0:  # a machine so busy that more work took less time
            call, token = 0.0, float(np.median(seconds / areas))
        return cls(float(np.clip(call / token, *cls.bounds)), float(token))

    def seconds(self, rows: int, width: int) -> float:
        """What a run of equal sequences should take."""
        return (self.call_tokens + rows * width) * self.seconds_per_token

    def area(self, lengths: Sequence[int]) -> int:
        """Tokens that a run of these sequences computes, padding included."""
        return len(lengths) * max(lengths)

    def take(self, queue: LengthQueue, anchor: Entry, budget: int) -> list[Entry]:
        """Take out of the queue what shares a run of `budget` tokens with `anchor`, that one first.

        A longer anchor runs alone.
        """
        runs = call_around(queue.counts, anchor.length, budget, self.call_tokens)
        return queue.take(anchor, runs)


@dataclass(frozen=True, slots=True)
class PackedCostModel(CostModel):
    """Of a backend that packs: there is no padding to weigh against a call.

    The cheapest run is a full one, of whatever has waited longest.
    """

    batch_tokens: ClassVar[int] = 16_384
    # a call of a small model costs as much as some thousand tokens, of a large one some dozens
    bounds: ClassVar[tuple[float, float]] = (16.0, 16_384.0)
    splits: ClassVar[bool] = False
    shapes: ClassVar[Sequence[Shape]] = ((1, 128), (4, 128), (16, 128), (64, 128), (128, 128))
    batch_ranges: ClassVar[int] = 1024
    """Most that a run pools, sequences and ranges of their tokens: with it grow the buffers, and
    the pooling in quadratic measure."""

    def area(self, lengths: Sequence[int]) -> int:
        """See CostModel."""
        return sum(lengths)

    def take(self, queue: LengthQueue, anchor: Entry, budget: int) -> list[Entry]:
        """See CostModel."""
        return queue.take_oldest(anchor, budget, self.batch_ranges)
