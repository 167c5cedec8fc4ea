"""Vectors or logits to classes, best first.

An item of several windows is what they say together. Their probabilities are averaged, not their
logits: each window's tokens then have one vote, however sure of itself a head is, and the scores of
exclusive classes add up to 1 as those of a single sequence do.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.heads import Classifier, logits_of, probabilities
from triptych_postprocess.outcome import Errors, Outcome, living
from triptych_postprocess.vectors import average
from triptych_postprocess.windows import Windows

Scores = NDArray[np.float32]


class WindowAggregation(Enum):
    """What becomes of the scores that several windows give a class."""

    MEAN = "mean"
    MAX = "max"


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How classes are chosen; `top_k` is resolved, from 1 to the number of labels."""

    top_k: int
    raw_scores: bool
    windows: WindowAggregation = WindowAggregation.MEAN


@dataclass(frozen=True, slots=True)
class Classes:
    """The classes of N items, best first."""

    label_ids: NDArray[np.int32]
    """[N, top_k]"""
    scores: NDArray[np.float32]
    """[N, top_k]"""


def classify(
    inputs: NDArray[np.floating], classifier: Classifier, options: ClassifyOptions, errors: Errors
) -> Outcome[Classes]:
    """Classes of the items [N, input_size] not in `errors` and without other error.

    The order is that of the logits, which tell apart what rounds to the same probability; equal
    ones come in the order of their labels.
    """
    made = logits_of(inputs, classifier, errors)
    logits = made.rows
    order = _best(logits, options.top_k)
    scores = logits if options.raw_scores else probabilities(classifier.head, logits)
    chosen = np.take_along_axis(scores, order, axis=1)
    return Outcome(Classes(order.astype(np.int32), chosen), made.errors)


def classify_windows(
    inputs: NDArray[np.floating],
    windows: Windows,
    classifier: Classifier,
    options: ClassifyOptions,
    errors: Errors,
) -> Outcome[Classes]:
    """Classes of items of several rows [S, input_size], an item failing with any of its rows.

    A class gets the mean of what its windows give it, weighted by their tokens, or the highest:
    of probabilities, and of logits where these are asked for. Equal ones come in the order of
    their logits, and then of their labels.
    """
    owner = windows.owner
    late = {row: errors[item] for row, item in enumerate(owner.tolist()) if item in errors}
    made = logits_of(inputs, classifier, late)
    errors = {int(owner[row]): error for row, error in made.errors.items()} | errors
    rows = living(len(windows.first_rows), errors)[owner]
    logits, left = made.rows[rows[living(len(owner), made.errors)]], windows.only(rows)
    together = _together(logits, left, options)
    scores = (
        together
        if options.raw_scores
        else _together(probabilities(classifier.head, logits), left, options)
    )
    order = np.lexsort((-together, -scores))[:, : options.top_k]
    chosen = np.take_along_axis(scores, order, axis=1)
    return Outcome(Classes(order.astype(np.int32), chosen), errors)


def _together(scores: Scores, windows: Windows, options: ClassifyOptions) -> Scores:
    if not len(windows.first_rows):
        return scores
    return TOGETHER[options.windows](scores, windows)


def _mean(scores: Scores, windows: Windows) -> Scores:
    return average(scores, windows.first_rows, windows.token_counts)


def _max(scores: Scores, windows: Windows) -> Scores:
    highest: Scores = np.maximum.reduceat(scores, windows.first_rows, axis=0)
    return highest


TOGETHER: Final[Mapping[WindowAggregation, Callable[[Scores, Windows], Scores]]] = {
    WindowAggregation.MEAN: _mean,
    WindowAggregation.MAX: _max,
}


def _best(logits: NDArray[np.float32], top_k: int) -> NDArray[np.int64]:
    if top_k == 1:
        best: NDArray[np.int64] = logits.argmax(axis=1)[:, np.newaxis]
        return best
    order: NDArray[np.int64] = np.argsort(-logits, axis=1, kind="stable")
    return order[:, :top_k]
