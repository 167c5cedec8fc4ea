"""What the scores of all tasks have in common."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from triptych_client.evaluation.bootstrap import Statistic
from triptych_client.evaluation.shares import Tally


@dataclass(frozen=True, slots=True)
class Confusion:
    """One label taken for another, and how often; an empty label is no answer."""

    expected: str
    predicted: str
    count: int

    def document(self) -> dict[str, Any]:
        """For JSON."""
        names = ("expected", "predicted", "count")
        return {name: getattr(self, name) for name in names}


class Scores(Protocol):
    """Answers for N items, held against what they should be."""

    @property
    def items(self) -> int:
        """N, those without an answer included."""

    @property
    def correct(self) -> NDArray[np.bool_] | None:
        """[N]: which are right; None where an answer is not simply right or wrong."""

    def statistics(self) -> Mapping[str, Statistic]:
        """The scores that get a confidence interval, and that two models are compared by."""

    def document(self) -> dict[str, Any]:
        """Everything else, for JSON."""


@runtime_checkable
class LabelScores(Protocol):
    """Scores of answers that are labels, or have one."""

    @property
    def labels(self) -> tuple[str, ...]:
        """[L]: those of the set and those that were answered, sorted."""

    def tally(self) -> Tally:
        """Counts by label."""

    def confusion(self) -> Sequence[Confusion]:
        """What was taken for what, the most frequent first; right answers are among it."""
