"""How a matrix product is put into int8, and which way does it least harm.

y = (x / smoothing) @ (smoothing * kernel), with the largest channels of x left out of both and
added in fp32. What remains is uint8 by one scale and zero point for all of x, and int8 by one scale
for each column of the kernel. T rows, K channels in, N out.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_models.quantization.calibration import Activations
from triptych_models.weights import Linear

Array = NDArray[np.float32]
# One channel of so many stays in fp32, as one of 48 did of an FFN's 1,536 when this was measured
# (32 of them): a few are ten times as large as the rest, and their scale would be everybody's.
CHANNELS_PER_OUTLIER = 48
# Exponents of SmoothQuant (Xiao et al. 2022, eq. 4) and whether outliers are kept, the cheapest
# first: a smoothing costs one pass over the input, outliers a slim product.
RECIPES = ((None, False), (0.5, False), (0.8, False), (None, True), (0.6, True))
# A cheaper recipe is taken where its error is at most so many times the least.
TOLERANCE = 1.15
_LEVELS = 255
_LARGEST_WEIGHT = 127
# what is smaller counts as this: a channel that is always 0 has no scale
_TINY = np.float32(1e-5)


@dataclass(frozen=True, slots=True)
class Quantized:
    """A product in int8."""

    kernel: NDArray[np.int8]
    """[K, N], zero in the rows of `outliers`."""
    kernel_scale: Array
    """[N]"""
    input_scale: np.float32
    input_zero_point: np.uint8
    smoothing: Array | None
    """[K] that the input is multiplied by first."""
    outliers: NDArray[np.int64]
    """Channels of the raw input that are multiplied in fp32; may be none."""
    outlier_kernel: Array
    """[outliers, N]"""

    def error(self, linear: Linear, rows: Array) -> float:
        """Mean squared error of the products of rows [T, K]."""
        smooth = rows if self.smoothing is None else rows * self.smoothing
        zero = np.float32(self.input_zero_point)
        levels = np.clip(np.rint(smooth / self.input_scale) + zero, 0, _LEVELS) - zero
        product = (levels * self.input_scale) @ (self.kernel * self.kernel_scale)
        product += rows[:, self.outliers] @ self.outlier_kernel
        return float(np.square(product - rows @ linear.kernel).mean())


def quantize(linear: Linear, seen: Activations) -> Quantized:
    """The cheapest recipe whose error is near the least."""
    made = [_quantized(linear, seen, *recipe) for recipe in RECIPES]
    errors = [one.error(linear, seen.sample) for one in made]
    limit = min(errors) * TOLERANCE
    return next(one for one, error in zip(made, errors, strict=True) if error <= limit)


def _quantized(linear: Linear, seen: Activations, exponent: float | None, keep: bool) -> Quantized:
    sizes = np.maximum(np.maximum(-seen.least, seen.largest), _TINY)
    outliers = _outliers(sizes) if keep else np.empty(0, np.int64)
    smoothing = _smoothing(linear, sizes, exponent)
    kernel, factors = linear.kernel, np.ones_like(sizes)
    if smoothing is not None:
        factors = smoothing
        kernel = kernel / smoothing[:, None]
    inside = np.ones_like(sizes)
    inside[outliers] = 0
    levels, scale = _kernel(kernel * inside[:, None])
    return Quantized(
        levels,
        scale,
        *_input(seen.least * factors * inside, seen.largest * factors * inside),
        smoothing=smoothing,
        outliers=outliers,
        outlier_kernel=linear.kernel[outliers],
    )


def _outliers(sizes: Array) -> NDArray[np.int64]:
    count = len(sizes) // CHANNELS_PER_OUTLIER
    largest = np.argsort(-sizes, kind="stable")[:count]
    return np.sort(largest).astype(np.int64)


def _smoothing(linear: Linear, sizes: Array, exponent: float | None) -> Array | None:
    """What moves the differences between channels from the input into the kernel."""
    if exponent is None:
        return None
    weights = np.maximum(np.abs(linear.kernel).max(axis=1), _TINY)
    factors: Array = (weights ** (1 - exponent) / sizes**exponent).astype(np.float32)
    return factors


def _kernel(kernel: Array) -> tuple[NDArray[np.int8], Array]:
    scale = np.maximum(np.abs(kernel).max(axis=0), _TINY) / np.float32(_LARGEST_WEIGHT)
    return np.rint(kernel / scale).astype(np.int8), scale.astype(np.float32)


def _input(least: Array, largest: Array) -> tuple[np.float32, np.uint8]:
    """Scale and zero point; 0 itself is always a level, for what is padding or left out."""
    low, high = min(float(least.min()), 0.0), max(float(largest.max()), float(_TINY))
    scale = (high - low) / _LEVELS
    return np.float32(scale), np.uint8(round(-low / scale))
