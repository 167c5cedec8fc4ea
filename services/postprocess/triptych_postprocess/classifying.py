"""Vectors or logits to classes, best first."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.heads import Classifier, logits_of, probabilities
from triptych_postprocess.outcome import Errors, Outcome


@dataclass(frozen=True, slots=True)
class ClassifyOptions:
    """How classes are chosen; `top_k` is resolved, from 1 to the number of labels."""

    top_k: int
    raw_scores: bool


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


def _best(logits: NDArray[np.float32], top_k: int) -> NDArray[np.int64]:
    if top_k == 1:
        best: NDArray[np.int64] = logits.argmax(axis=1)[:, np.newaxis]
        return best
    order: NDArray[np.int64] = np.argsort(-logits, axis=1, kind="stable")
    return order[:, :top_k]
