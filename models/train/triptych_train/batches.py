"""Batches of similar lengths in an order that follows from seed and epoch alone."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from triptych_train.parts import IGNORED, Part

BUCKET_BATCHES = 50
"""Rows of so many batches are sorted together: enough for little padding, too few for an order."""


@dataclass(frozen=True, slots=True)
class Batch:
    """B inputs filled up to S tokens, on one device."""

    input_ids: Tensor
    token_types: Tensor
    mask: Tensor
    targets: Tensor
    """[B], or [B, S] of tokens."""

    def to(self, device: torch.device) -> "Batch":
        """The same on a device."""
        names = (self.input_ids, self.token_types, self.mask, self.targets)
        return Batch(*(one.to(device, non_blocking=True) for one in names))


@dataclass(frozen=True, slots=True)
class Order:
    """Which rows come together, and when. Its state is a step's number: nothing else moves."""

    lengths: Sequence[int]
    batch_size: int
    seed: int

    @property
    def per_epoch(self) -> int:
        """Batches of an epoch, the same number in each."""
        bucket = self.batch_size * BUCKET_BATCHES
        full, rest = divmod(len(self.lengths), bucket)
        return full * BUCKET_BATCHES + -(-rest // self.batch_size)

    def epoch(self, number: int) -> list[list[int]]:
        """The rows of every batch of an epoch, numbered from 0."""
        numbers = np.random.default_rng([self.seed, number])
        shuffled = numbers.permutation(len(self.lengths))
        bucket = self.batch_size * BUCKET_BATCHES
        found = []
        for start in range(0, len(shuffled), bucket):
            rows = sorted(shuffled[start : start + bucket], key=lambda row: self.lengths[row])
            found += [
                [int(row) for row in rows[at : at + self.batch_size]]
                for at in range(0, len(rows), self.batch_size)
            ]
        return [found[at] for at in numbers.permutation(len(found))]

    def from_step(self, step: int, epochs: int) -> Iterator[list[int]]:
        """The rows of each step from `step` on, until so many epochs are over."""
        first, done = divmod(step, self.per_epoch)
        for number in range(first, epochs):
            yield from self.epoch(number)[done:]
            done = 0


def collate(part: Part, rows: Sequence[int], padding: int) -> Batch:
    """Rows of a part, filled up to the longest with `padding`."""
    ids = [part.inputs.input_ids[row] for row in rows]
    types = [part.inputs.token_types[row] for row in rows]
    targets = [part.targets[row] for row in rows]
    return Batch(
        input_ids=_filled(ids, padding),
        token_types=_filled(types, 0),
        mask=_filled([np.ones_like(one) for one in ids], 0),
        targets=_filled(targets, IGNORED) if part.per_token else _column(targets),
    )


def _column(targets: Sequence[np.ndarray]) -> Tensor:
    return torch.from_numpy(np.concatenate(targets))


def _filled(rows: Sequence[np.ndarray], value: int) -> Tensor:
    table = np.full((len(rows), max(map(len, rows))), value, np.int64)
    for line, values in zip(table, rows, strict=True):
        line[: len(values)] = values
    return torch.from_numpy(table)
