"""Pairs of texts as pairs of rows, when every distinct text is encoded once."""

from collections.abc import Mapping, Sequence

import numpy as np

from triptych_gateway.layout import Ints
from triptych_gateway.tasks import Pair
from triptych_servicekit.errors import TriptychError


def distinct_texts(pairs: Sequence[Pair]) -> list[str]:
    """The texts of the pairs, each once, in order of first occurrence."""
    return list(dict.fromkeys(text for pair in pairs for text in (pair.first, pair.second)))


class PairRows:
    """Which pairs can be compared, given the errors of `texts`, by index.

    Rows are those of the texts without error, in order. A pair fails with the error of its first
    text that failed.
    """

    def __init__(
        self, pairs: Sequence[Pair], texts: Sequence[str], errors: Mapping[int, TriptychError]
    ) -> None:
        failed = {texts[index]: error for index, error in errors.items()}
        living = [text for text in texts if text not in failed]
        self._row = {text: row for row, text in enumerate(living)}
        self.errors = {
            index: failed[pair.first] if pair.first in failed else failed[pair.second]
            for index, pair in enumerate(pairs)
            if pair.first in failed or pair.second in failed
        }
        self._positions = [index for index in range(len(pairs)) if index not in self.errors]
        self._whole = [pairs[index] for index in self._positions]

    def __len__(self) -> int:
        return len(self._whole)

    def fail(self, errors: Mapping[int, TriptychError]) -> None:
        """Comparing failed for some of the pairs that could be compared, counted among these."""
        self.errors |= {self._positions[index]: error for index, error in errors.items()}

    def first(self) -> Ints:
        """int32: row of the first text of each pair that can be compared."""
        return np.array([self._row[pair.first] for pair in self._whole], np.int32)

    def second(self) -> Ints:
        """int32: row of the second text of each pair that can be compared."""
        return np.array([self._row[pair.second] for pair in self._whole], np.int32)
