"""Entities in columns, and what windows that overlap say twice."""

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


def without_overlaps(entities: Entities, windowed: NDArray[np.bool_]) -> Entities:
    """Of entities that overlap the longest, of these the one with the highest score.

    `windowed` [N] says which items have several windows; the others' are left alone. As
    `aggregate_overlapping_entities` of transformers does it: by their starts, each held against the
    one that was kept last.
    """
    concerned = windowed[entities.item_index]
    order = np.lexsort((np.where(concerned, entities.start, 0), entities.item_index))
    found, concerned = entities.take(order), concerned[order]
    kept: list[int] = []
    for row in range(len(order)):
        if not kept or not concerned[row] or not _overlap(found, kept[-1], row):
            kept.append(row)
        elif _weight(found, row) > _weight(found, kept[-1]):
            kept[-1] = row
    return found.take(np.array(kept, np.int64))


def _overlap(entities: Entities, before: int, row: int) -> bool:
    same_item = entities.item_index[before] == entities.item_index[row]
    return bool(same_item and entities.start[row] < entities.end[before])


def _weight(entities: Entities, row: int) -> tuple[int, float]:
    return int(entities.end[row] - entities.start[row]), float(entities.score[row])
