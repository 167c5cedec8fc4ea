"""Heads that are ready to be used: what makes classes of a model's vectors."""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import Head, HeadBundle, Layer
from triptych_bundles.layers import forward
from triptych_postprocess.outcome import Errors, Outcome, failing, living
from triptych_postprocess.vectors import finite_rows
from triptych_servicekit.errors import Internal

Logits = NDArray[np.float32]

# Rows that go through the layers at a time: what lies between two layers stays in the cache, and
# many rows take no more memory for it than few.
BLOCK: Final = 256

# Multiplications, and bytes' worth of an exact gelu: both as measured against scaling vectors.
PRODUCTS_PER_BYTE: Final = 2
WORK_OF_A_CURVE: Final = 100


@dataclass(frozen=True, slots=True)
class Classifier:
    """A head with its layers; without any, what it reads are the logits already."""

    head: Head
    layers: tuple[Layer, ...]
    input_size: int
    """Elements of a row that it reads."""
    bundle: HeadBundle | None = None
    """Where it came from, unless it is a model's own."""

    @property
    def row_work(self) -> int:
        """What a row costs: the bytes of vectors that are scaled in the same time."""
        products = sum(layer.kernel.size for layer in self.layers)
        curves = sum(layer.bias.size for layer in self.layers if layer.activation == "gelu")
        return products // PRODUCTS_PER_BYTE + curves * WORK_OF_A_CURVE

    def logits(self, inputs: NDArray[np.floating]) -> Logits:
        """float32 [N, labels] of [N, input_size]; what leaves float32 is infinite or NaN."""
        if not self.layers:
            return inputs.astype(np.float32)
        made = np.empty((len(inputs), len(self.head.labels)), np.float32)
        with np.errstate(over="ignore", invalid="ignore"):
            for start in range(0, len(inputs), BLOCK):
                block = inputs[start : start + BLOCK].astype(np.float32)
                made[start : start + BLOCK] = forward(self.layers, block, self.head.normalized)
        return made


def logits_of(
    inputs: NDArray[np.floating], classifier: Classifier, errors: Errors
) -> Outcome[Logits]:
    """Finite logits [K, labels] of the rows not in `errors` and without other error.

    A row fails alone where it is not finite, or so large that the head's numbers are not.
    """
    errors = failing(~finite_rows(inputs), Internal("the encoder's output is not finite")) | errors
    alive = np.flatnonzero(living(len(inputs), errors))
    logits = classifier.logits(inputs[alive])
    finite = finite_rows(logits)
    overflow = Internal("the head's logits are not finite")
    errors |= dict.fromkeys(alive[~finite].tolist(), overflow)
    return Outcome(logits[finite], errors)


def probabilities(head: Head, logits: Logits) -> NDArray[np.float32]:
    """What the head's logits [N, labels] say: probabilities, or of a regression the values.

    As transformers 4.57 and 5 choose in TextClassificationPipeline.postprocess: nothing for a
    regression, the sigmoid for several labels at once and for a single one, else the softmax.
    """
    if head.problem_type == "regression":
        return logits
    if head.problem_type == "multi_label_classification" or len(head.labels) == 1:
        return sigmoid(logits)
    return softmax(logits.astype(np.float64)).astype(np.float32)


def softmax(logits: NDArray[np.floating]) -> NDArray[np.floating]:
    """exp(x) over its sum along the last axis of finite logits, in their own type.

    The row's own maximum is taken off first, so that no exponential exceeds 1 and the sum is at
    least 1: the result is finite whatever the logits are.
    """
    with np.errstate(over="ignore", under="ignore"):
        shifted = logits - logits.max(axis=-1, keepdims=True)
        exponentials = np.exp(shifted)
    total: NDArray[np.floating] = exponentials / exponentials.sum(axis=-1, keepdims=True)
    return total


def sigmoid(logits: Logits) -> NDArray[np.float32]:
    """1 / (1 + exp(-x)), in float64 so that greater logits never get smaller scores."""
    with np.errstate(over="ignore", under="ignore"):
        scores = 1 / (1 + np.exp(-logits.astype(np.float64)))
        return scores.astype(np.float32)
