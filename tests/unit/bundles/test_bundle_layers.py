"""The forward pass of a head."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from triptych_bundles import ACTIVATIONS, Activation, Layer, forward
from triptych_bundles import layers as arithmetic

Array = NDArray[np.float32]


def layer(inputs: int, outputs: int, activation: Activation = "none", seed: int = 7) -> Layer:
    numbers = np.random.default_rng(seed)
    kernel = numbers.standard_normal((inputs, outputs), np.float32)
    return Layer(kernel, numbers.standard_normal(outputs, np.float32), activation)


def by_hand(activation: Activation, value: float) -> float:
    functions = {
        "none": lambda: value,
        "relu": lambda: max(value, 0.0),
        "tanh": lambda: math.tanh(value),
        "gelu": lambda: value * 0.5 * (1 + math.erf(value / math.sqrt(2))),
    }
    return functions[activation]()


def test_the_error_function_is_exact() -> None:
    values = np.concatenate([np.linspace(-9, 9, 20_001), [-0.0, 1e-300, 0.46875, 4, 1e200, np.inf]])
    exact = np.array([math.erf(value) for value in values])
    assert np.abs(arithmetic.erf(values) - exact).max() < 1e-15


@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_layer_is_its_formula(activation: Activation) -> None:
    one = layer(3, 2, activation)
    inputs = np.array([[0.5, -1, 2], [0, 0, 0]], np.float32)
    expected = [
        [
            by_hand(activation, float(sum(row * one.kernel[:, column])) + float(one.bias[column]))
            for column in range(2)
        ]
        for row in inputs
    ]
    result = forward([one], inputs, normalized=False)
    assert result.dtype == np.float32
    np.testing.assert_allclose(result, expected, rtol=1e-5, atol=1e-6)


def test_layers_follow_each_other() -> None:
    first, second = layer(3, 5, "gelu"), layer(5, 2, seed=8)
    inputs = np.ones((4, 3), np.float32)
    middle = forward([first], inputs, normalized=False)
    expected = forward([second], middle, normalized=False)
    np.testing.assert_array_equal(forward([first, second], inputs, normalized=False), expected)


@pytest.mark.parametrize("scale", [1e-38, 1.0, 1e30])
def test_normalized_layers_do_not_see_lengths(scale: float) -> None:
    one = layer(3, 2)
    inputs = np.array([[0.6, 0, 0.8]], np.float32)
    scaled = forward([one], inputs * np.float32(scale), normalized=True)
    np.testing.assert_allclose(scaled, forward([one], inputs, normalized=False), rtol=1e-5)


def test_a_vector_without_length_gives_the_bias() -> None:
    one = layer(3, 2)
    np.testing.assert_array_equal(forward([one], np.zeros((1, 3), "f4"), True), one.bias[None])


def test_vectors_of_another_width_are_refused() -> None:
    with pytest.raises(ValueError, match=r"shape \(1, 4\)"):
        forward([layer(3, 2)], np.zeros((1, 4), np.float32), normalized=False)
