"""Scores of a classifier that gives each item one of L labels."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_client.evaluation.bootstrap import Rows, Statistic
from triptych_client.evaluation.calibration import MAX_DEVIATION, Calibration, calibrate
from triptych_client.evaluation.scores import Confusion
from triptych_client.evaluation.shares import Tally

UNANSWERED: Final = -1

Numbers = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Classified:
    """The label that a model is surest of, its score, and the sum of the scores of all labels."""

    label: str
    confidence: float
    total: float


@dataclass(frozen=True, slots=True)
class ClassScores:
    """N items, L labels: those of the set and those that were answered, sorted."""

    labels: tuple[str, ...]
    expected: Numbers
    """[N]: position in `labels`."""
    predicted: Numbers
    """[N]: the same, or UNANSWERED, which is never right."""
    calibration: Calibration | None
    """None where the scores are no distribution over the labels, or nothing was answered."""

    @property
    def items(self) -> int:
        """N."""
        return len(self.expected)

    @property
    def correct(self) -> NDArray[np.bool_]:
        """[N]: which are right."""
        correct: NDArray[np.bool_] = self.expected == self.predicted
        return correct

    def statistics(self) -> Mapping[str, Statistic]:
        """Accuracy, and F1 averaged both ways."""
        correct = self.correct
        return {
            "accuracy": lambda rows: float(correct[rows].mean()),
            "f1_macro": lambda rows: self._of(rows).macro().f1,
            "f1_weighted": lambda rows: self._of(rows).weighted().f1,
        }

    def tally(self) -> Tally:
        """Counts by label."""
        return self._of(np.arange(self.items))

    def confusion(self) -> list[Confusion]:
        """What was taken for what, the most frequent first; right answers are among it."""
        pairs = np.stack([self.expected, self.predicted], axis=1)
        found, counts = np.unique(pairs, axis=0, return_counts=True)
        order = np.argsort(-counts, kind="stable")
        names = {UNANSWERED: "", **dict(enumerate(self.labels))}
        return [
            Confusion(names[expected], names[predicted], count)
            for (expected, predicted), count in zip(
                found[order].tolist(), counts[order].tolist(), strict=True
            )
        ]

    def document(self) -> dict[str, Any]:
        """For JSON."""
        return {
            **self.tally().document(self.labels),
            "confusion": [one.document() for one in self.confusion()],
            "calibration": self.calibration.document() if self.calibration else None,
        }

    def _of(self, rows: Rows) -> Tally:
        expected, predicted, count = self.expected[rows], self.predicted[rows], len(self.labels)
        answered = predicted[predicted != UNANSWERED]
        return Tally(
            np.bincount(expected[expected == predicted], minlength=count),
            np.bincount(answered, minlength=count),
            np.bincount(expected, minlength=count),
        )


def score_classes(
    expected: Sequence[str], answers: Sequence[Classified | None], bins: int
) -> ClassScores:
    """Hold answers against labels; None is no answer, and wrong."""
    labels = sorted({*expected, *(answer.label for answer in answers if answer)})
    place = {label: number for number, label in enumerate(labels)}
    right = np.array([place[label] for label in expected], np.int64)
    found = [place[answer.label] if answer else UNANSWERED for answer in answers]
    predicted = np.array(found, np.int64)
    calibration = _calibration(answers, right == predicted, bins)
    return ClassScores(tuple(labels), right, predicted, calibration)


def _calibration(
    answers: Sequence[Classified | None], correct: NDArray[np.bool_], bins: int
) -> Calibration | None:
    answered = np.array([answer is not None for answer in answers])
    given = [answer for answer in answers if answer]
    totals = np.array([answer.total for answer in given])
    if not given or np.abs(totals - 1).max() > MAX_DEVIATION:
        return None
    return calibrate(np.array([one.confidence for one in given]), correct[answered], bins)
