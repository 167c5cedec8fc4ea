"""Entities in columns."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.int32]
Scores = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Entities:
    """E entities, those of an item together and in the order of their text."""

    item_index: Column
    """[E]: ascending"""
    start: Column
    """[E]: first code point of the item's text"""
    end: Column
    """[E]: code point after the last"""
    label_id: Column
    """[E]"""
    score: Scores
    """[E]: from 0 to 1"""

    def take(self, rows: NDArray[np.generic]) -> "Entities":
        """Those that an index or a mask chooses."""
        return Entities(
            self.item_index[rows],
            self.start[rows],
            self.end[rows],
            self.label_id[rows],
            self.score[rows],
        )
