"""How often a head is right."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_models.heads.examples import Classes


@dataclass(frozen=True, slots=True)
class Scores:
    """Shares from 0 to 1."""

    accuracy: float
    macro_f1: float
    """The mean over classes of 2 TP / (2 TP + FP + FN)."""
    by_class: tuple[float, ...]
    """F1 of each class."""

    def __str__(self) -> str:
        return f"accuracy {self.accuracy:.4f}, macro F1 {self.macro_f1:.4f}"


def score(logits: NDArray[np.floating], classes: Classes) -> Scores:
    """Hold the largest of logits [N, labels] against the classes [N]; N is at least 1."""
    count, predicted = logits.shape[1], logits.argmax(axis=1)
    right = np.bincount(classes[predicted == classes], minlength=count)
    found = np.bincount(predicted, minlength=count)
    there = np.bincount(classes, minlength=count)
    # a class that is neither there nor found is not got wrong, and has no share of its own: 0 / 1
    f1 = 2 * right / np.maximum(found + there, 1)
    return Scores(float(right.sum() / len(classes)), float(f1.mean()), tuple(f1.tolist()))
