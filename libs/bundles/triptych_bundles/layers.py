"""What the layers of a head make of vectors: the same numbers wherever a head is tried or served.

N vectors, H hidden elements.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.heads import Layer
from triptych_bundles.manifest import Activation

Array = NDArray[np.float32]
Wide = NDArray[np.float64]

# Coefficients of W. J. Cody, "Rational Chebyshev Approximations for the Error Function",
# Mathematics of Computation 23 (1969), pages 631 to 637; the highest power first.
_SMALL = 0.46875
_SMALL_NUMERATOR = (
    1.85777706184603153e-1,
    3.16112374387056560e0,
    1.13864154151050156e2,
    3.77485237685302021e2,
    3.20937758913846947e3,
)
_SMALL_DENOMINATOR = (
    1.0,
    2.36012909523441209e1,
    2.44024637934444173e2,
    1.28261652607737228e3,
    2.84423683343917062e3,
)
# made for values up to 4; the complement above is so small that its relative error does not count
_LARGEST = 6.0
_LARGE_NUMERATOR = (
    2.15311535474403846e-8,
    5.64188496988670089e-1,
    8.88314979438837594e0,
    6.61191906371416295e1,
    2.98635138197400131e2,
    8.81952221241769090e2,
    1.71204761263407058e3,
    2.05107837782607147e3,
    1.23033935479799725e3,
)
_LARGE_DENOMINATOR = (
    1.0,
    1.57449261107098347e1,
    1.17693950891312499e2,
    5.37181101862009858e2,
    1.62138957456669019e3,
    3.29079923573345963e3,
    4.36261909014324716e3,
    3.43936767414372164e3,
    1.23033935480374942e3,
)


def forward(layers: Sequence[Layer], inputs: Array, normalized: bool) -> Array:
    """The logits [N, labels] of raw vectors [N, H], which are `normalized` first where that is so.

    ValueError where the vectors are not as wide as the first layer.
    """
    if inputs.ndim != 2 or (layers and inputs.shape[1] != len(layers[0].kernel)):
        raise ValueError(f"vectors of shape {inputs.shape} do not fit the layers")
    values = unit_length(inputs) if normalized else inputs
    for layer in layers:
        values = ACTIVATIONS[layer.activation](values @ layer.kernel + layer.bias)
    return values


def unit_length(vectors: Array) -> Array:
    """Vectors of length 1; those of length 0 stay."""
    # float64 holds the square of every float32, from the smallest to the largest
    wide = vectors.astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    unit: Array = (wide / lengths).astype(np.float32)
    return unit


def gelu(values: Array) -> Array:
    """values * Phi(values), exact: by the error function in float64."""
    wide = values.astype(np.float64)
    return (wide * 0.5 * (1 + erf(wide / math.sqrt(2)))).astype(np.float32)


def relu(values: Array) -> Array:
    """Negative values cut to zero."""
    return np.maximum(values, np.float32(0))


def erf(values: Wide) -> Wide:
    """The error function, off by less than 1e-15."""
    size = np.abs(values)
    small = size <= _SMALL
    square = np.where(small, values, 0.0) ** 2
    near = values * np.polyval(_SMALL_NUMERATOR, square) / np.polyval(_SMALL_DENOMINATOR, square)
    bounded = np.minimum(size, _LARGEST)
    share = np.polyval(_LARGE_NUMERATOR, bounded) / np.polyval(_LARGE_DENOMINATOR, bounded)
    far = np.copysign(1 - np.exp(-bounded * bounded) * share, values)
    return np.where(small, near, far)


def _as_it_is(values: Array) -> Array:
    return values


def _tanh(values: Array) -> Array:
    return np.tanh(values)


ACTIVATIONS: Mapping[Activation, Callable[[Array], Array]] = MappingProxyType(
    {"none": _as_it_is, "gelu": gelu, "relu": relu, "tanh": _tanh}
)
