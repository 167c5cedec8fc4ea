"""Which examples a head is fitted on, chosen by and tested with: the same for the same seed."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_models.heads.examples import Classes

Rows = NDArray[np.int64]
"""Positions of examples, ascending."""
PARTS = 10
"""One part is tested on, one decides between recipes, the rest is fitted on."""


@dataclass(frozen=True, slots=True)
class Split:
    """Every example is in one of the three."""

    train: Rows
    validation: Rows
    test: Rows

    @property
    def seen(self) -> Rows:
        """Everything but the test."""
        return np.sort(np.concatenate([self.train, self.validation]))


def split(classes: Classes, seed: int) -> Split:
    """Eight, one and one of ten parts, in each of which every class has its share."""
    part = folds(classes, PARTS, seed)
    rows = [np.flatnonzero(chosen) for chosen in (part > 1, part == 1, part == 0)]
    return Split(*rows)


def folds(classes: Classes, count: int, seed: int) -> NDArray[np.int64]:
    """The fold of each example, below `count`: all of a size, and every class spread evenly."""
    numbers = np.random.default_rng(seed)
    shuffled = numbers.permutation(len(classes))
    # the next class goes on where the last one stopped, so that remainders even out
    by_class = shuffled[np.argsort(classes[shuffled], kind="stable")]
    fold = np.empty(len(classes), np.int64)
    fold[by_class] = np.arange(len(classes)) % count
    return fold
