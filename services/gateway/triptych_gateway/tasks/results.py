"""Results of a task in columns, for many inputs at once."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.tasks.inputs import Input


@dataclass(frozen=True, slots=True)
class Classes:
    """Classes of N inputs, K each, best first: int32 ids into `labels`, and float32 scores."""

    label_ids: NDArray[np.int32]
    scores: NDArray[np.float32]
    labels: Sequence[str]

    def __len__(self) -> int:
        return len(self.label_ids)


@dataclass(frozen=True, slots=True)
class Entities:
    """E entities, by input: all columns [E], int32 but for the float32 `score`.

    `start` and `end` count code points, end exclusive; `label_id` is an index into `labels`;
    `texts` is what stands there, or nothing where it has not been cut out yet.
    """

    item_index: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    label_id: NDArray[np.int32]
    score: NDArray[np.float32]
    labels: Sequence[str]
    texts: Sequence[str] = ()

    def __len__(self) -> int:
        return len(self.item_index)

    def placed(self, places: NDArray[np.int64]) -> "Entities":
        """The same with item i called `places[i]`."""
        return replace(self, item_index=places[self.item_index].astype(np.int32))

    def quoting(self, inputs: Sequence[Input]) -> "Entities":
        """The same with the texts that the items, which are strings, have there."""
        places = zip(self.item_index.tolist(), self.start.tolist(), self.end.tolist(), strict=True)
        return replace(self, texts=[str(inputs[item])[start:end] for item, start, end in places])


@dataclass(frozen=True, slots=True)
class Pieces:
    """R pieces of texts, by input and in the order of the text.

    int32 [R] `item_index`, `start` and `end` in code points, end exclusive; bool [R] `late`,
    whether the piece was read as a part of its whole text.
    """

    item_index: NDArray[np.int32]
    start: NDArray[np.int32]
    end: NDArray[np.int32]
    late: NDArray[np.bool_]

    def placed(self, places: NDArray[np.int64]) -> "Pieces":
        """The same with item i called `places[i]`."""
        return replace(self, item_index=places[self.item_index].astype(np.int32))

    def only(self, kept: NDArray[np.bool_]) -> "Pieces":
        """Those for which [R] is true."""
        return Pieces(self.item_index[kept], self.start[kept], self.end[kept], self.late[kept])


TaskResult = NDArray[Any] | Classes | Entities
"""Embeddings [N, dimensions], classes or entities."""


def place(result: TaskResult, places: NDArray[np.int64]) -> TaskResult:
    """The same with item i called `places[i]`; rows, which are in order anyway, as they are."""
    return result.placed(places) if isinstance(result, Entities) else result


def quote(result: TaskResult, inputs: Sequence[Input]) -> TaskResult:
    """The same with the texts of its entities."""
    return result.quoting(inputs) if isinstance(result, Entities) else result
