"""Precision, recall and F1 from counts, by label and averaged."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Shares = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PRF:
    """Precision, recall and F1, from 0 to 1."""

    precision: float
    recall: float
    f1: float

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {"precision": self.precision, "recall": self.recall, "f1": self.f1}


@dataclass(frozen=True, slots=True)
class Tally:
    """For each of L labels [L]: how often it was right, was predicted, and should have been.

    A share with nothing to divide by is 0, as scikit-learn's `zero_division=0`.
    """

    right: Counts
    predicted: Counts
    expected: Counts

    @property
    def occurs(self) -> NDArray[np.bool_]:
        """[L]: labels that were predicted or expected; no average counts the others."""
        occurs: NDArray[np.bool_] = (self.predicted + self.expected) > 0
        return occurs

    @property
    def precision(self) -> Shares:
        """[L]"""
        return self.right / np.maximum(self.predicted, 1)

    @property
    def recall(self) -> Shares:
        """[L]"""
        return self.right / np.maximum(self.expected, 1)

    @property
    def f1(self) -> Shares:
        """[L]: 2 TP / (2 TP + FP + FN)."""
        f1: Shares = 2 * self.right / np.maximum(self.predicted + self.expected, 1)
        return f1

    def micro(self) -> PRF:
        """Of all labels' counts together."""
        right, predicted, expected = self.right.sum(), self.predicted.sum(), self.expected.sum()
        total = Tally(*(np.array([one]) for one in (right, predicted, expected)))
        return total.label(0)

    def macro(self) -> PRF:
        """The mean over the labels that occur; 0 where none does."""
        return self._mean(self.occurs.astype(float))

    def weighted(self) -> PRF:
        """The mean over the labels, each as often as it was expected; 0 where none was."""
        return self._mean(self.expected.astype(float))

    def label(self, number: int) -> PRF:
        """Of one label."""
        precision, recall, f1 = self.precision, self.recall, self.f1
        return PRF(float(precision[number]), float(recall[number]), float(f1[number]))

    def document(self, labels: Sequence[str]) -> dict[str, Any]:
        """For JSON: the averages, and every label's shares and how often it was expected."""
        by_label = {
            label: {**self.label(number).document(), "support": int(self.expected[number])}
            for number, label in enumerate(labels)
        }
        averages = {"macro": self.macro().document(), "weighted": self.weighted().document()}
        return {**averages, "by_label": by_label}

    def _mean(self, weights: Shares) -> PRF:
        total = weights.sum() or 1.0
        means = ((weights * one).sum() / total for one in (self.precision, self.recall, self.f1))
        return PRF(*map(float, means))
