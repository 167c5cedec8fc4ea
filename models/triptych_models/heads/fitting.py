"""Fits the layers of a head: softmax regression, or one hidden layer, on standardised vectors.

The loss is cross entropy, the optimiser AdamW (Loshchilov and Hutter, "Decoupled Weight Decay
Regularization", 2019) under a rate that rises for a twentieth of the steps and then falls as a
cosine. Against learning the examples by heart there are noise on the inputs, dropout of hidden
elements, weight decay and smoothed labels. N examples, H elements of a vector.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import Layer
from triptych_bundles.layers import unit_length
from triptych_models.heads.examples import Classes

BATCH = 128
MIN_STEPS = 400
"""However few examples there are, so many batches are taken."""
WARM_UP = 0.05
# standard deviations below this are of an element that never changes
_CONSTANT = 1e-6

Array = NDArray[np.float32]
Wide = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a fit depends on beside its examples."""

    hidden: int
    """Elements of the hidden layer; 0 for none."""
    epochs: int
    noise: float
    """Standard deviation of what is added to standardised inputs."""
    dropout: float
    """Share of hidden elements left out of a step."""
    smoothing: float
    """Share of a label that is spread over all of them."""
    decay: float
    rate: float = 2e-3

    def __str__(self) -> str:
        width = f"{self.hidden} hidden elements" if self.hidden else "no hidden layer"
        against = f"noise {self.noise}, dropout {self.dropout}, smoothing {self.smoothing}"
        return f"{width}, {self.epochs} epochs, {against}, decay {self.decay}"


@dataclass(frozen=True, slots=True)
class Dense:
    """Parameters that are being fitted: kernel [in, out], bias [out]."""

    kernel: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Fitted:
    """A network on standardised vectors of length 1."""

    mean: Array
    scale: Array
    network: tuple[Dense, ...]

    def layers(self) -> tuple[Layer, ...]:
        """The same on vectors of length 1: the first layer takes the standardising in."""
        first, *others = self.network
        kernel = first.kernel.astype(np.float64) / self.scale[:, np.newaxis]
        bias = first.bias - self.mean.astype(np.float64) @ kernel
        folded = [Dense(kernel.astype(np.float32), bias.astype(np.float32)), *others]
        last = len(folded) - 1
        return tuple(
            Layer(dense.kernel, dense.bias, "none" if index == last else "relu")
            for index, dense in enumerate(folded)
        )

    def logits(self, vectors: Array) -> Wide:
        """The logits [N, labels] of raw vectors [N, H] in float64, by the layers as fitted."""
        values = (unit_length(vectors).astype(np.float64) - self.mean) / self.scale
        for dense in self.network[:-1]:
            values = np.maximum(values @ dense.kernel + dense.bias, 0)
        logits: Wide = values @ self.network[-1].kernel + self.network[-1].bias
        return logits


def fit(vectors: Array, classes: Classes, labels: int, recipe: Recipe, seed: int) -> Fitted:
    """Fit raw vectors [N, H] to their classes [N], each below `labels`."""
    unit = unit_length(vectors)
    mean, scale = unit.mean(axis=0), unit.std(axis=0)
    scale[scale < _CONSTANT] = 1
    inputs = (unit - mean) / scale
    numbers = np.random.default_rng(seed)
    network = _initial(inputs.shape[1], labels, recipe, numbers)
    optimizer = AdamW(network, recipe)
    targets = _targets(classes, labels, recipe.smoothing)
    steps = max(recipe.epochs * -(-len(inputs) // BATCH), MIN_STEPS)
    for step, rows in zip(range(steps), _shuffled(len(inputs), numbers), strict=False):
        slopes = gradients(network, inputs[rows], targets[rows], recipe, numbers)
        optimizer.step(slopes, recipe.rate * _schedule((step + 1) / steps))
    return Fitted(mean, scale, tuple(network))


class AdamW:
    """Changes the parameters of a network in place."""

    _MEAN, _SQUARE, _TINY = 0.9, 0.999, 1e-8

    def __init__(self, network: Sequence[Dense], recipe: Recipe) -> None:
        self._parameters = [array for dense in network for array in (dense.kernel, dense.bias)]
        self._means = [np.zeros_like(array) for array in self._parameters]
        self._squares = [np.zeros_like(array) for array in self._parameters]
        self._decay = recipe.decay
        self._steps = 0

    def step(self, gradients: Sequence[Dense], rate: float) -> None:
        """Take one step down the gradients; kernels decay, biases do not."""
        self._steps += 1
        flat = [array for dense in gradients for array in (dense.kernel, dense.bias)]
        for values, slope, mean, square in zip(
            self._parameters, flat, self._means, self._squares, strict=True
        ):
            mean += (1 - self._MEAN) * (slope - mean)
            square += (1 - self._SQUARE) * (slope * slope - square)
            size = np.sqrt(square / (1 - self._SQUARE**self._steps)) + self._TINY
            change = mean / (1 - self._MEAN**self._steps) / size
            values -= rate * (change + self._decay * values if values.ndim > 1 else change)


def _initial(width: int, labels: int, recipe: Recipe, numbers: np.random.Generator) -> list[Dense]:
    """He et al. 2015: what goes into a rectifier has a variance of 2 / inputs, the rest half."""
    widths = [width, *([recipe.hidden] if recipe.hidden else []), labels]
    gains = [2.0] * (len(widths) - 2) + [1.0]
    return [
        Dense(
            numbers.standard_normal((rows, columns), np.float32) * np.float32((gain / rows) ** 0.5),
            np.zeros(columns, np.float32),
        )
        for rows, columns, gain in zip(widths, widths[1:], gains, strict=False)
    ]


def _targets(classes: Classes, labels: int, smoothing: float) -> Array:
    targets = np.full((len(classes), labels), smoothing / labels, np.float32)
    targets[np.arange(len(classes)), classes] += 1 - smoothing
    return targets


def _shuffled(count: int, numbers: np.random.Generator) -> Iterator[NDArray[np.int64]]:
    """Batches of rows for ever, each row once an epoch."""
    while True:
        order = numbers.permutation(count)
        yield from (order[start : start + BATCH] for start in range(0, count, BATCH))


def _schedule(share: float) -> float:
    """The share of the highest rate when this share of all steps is done."""
    return float(min(1, share / WARM_UP) * 0.5 * (1 + np.cos(np.pi * share)))


def gradients(
    network: Sequence[Dense],
    inputs: Array,
    targets: Array,
    recipe: Recipe,
    numbers: np.random.Generator,
) -> list[Dense]:
    """Of the mean cross entropy of one batch, by back-propagation."""
    noisy = inputs + numbers.standard_normal(inputs.shape, np.float32) * np.float32(recipe.noise)
    if len(network) == 1:
        return [_slope(noisy, _error(noisy, network[0], targets))]
    hidden = noisy @ network[0].kernel + network[0].bias
    kept = numbers.random(hidden.shape, np.float32) >= recipe.dropout
    # what is left counts for more in training, so that in service nothing has to be scaled
    gate = (kept & (hidden > 0)) * np.float32(1 / (1 - recipe.dropout))
    active = hidden * gate
    error = _error(active, network[1], targets)
    return [_slope(noisy, error @ network[1].kernel.T * gate), _slope(active, error)]


def _error(inputs: Array, dense: Dense, targets: Array) -> Array:
    """The slope of the loss over the logits: probabilities less targets, over the batch."""
    logits = inputs @ dense.kernel + dense.bias
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    error: Array = (weights / weights.sum(axis=1, keepdims=True) - targets) / len(targets)
    return error


def _slope(inputs: Array, error: Array) -> Dense:
    return Dense(inputs.T @ error, error.sum(axis=0))
