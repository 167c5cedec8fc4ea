"""Quantized products as nodes of a graph, for the two runtimes that take them.

Products that nobody quantized are added in fp32.
"""

from collections.abc import Mapping

import numpy as np

from triptych_models.graph import GraphBuilder, add_linear
from triptych_models.quantization.recipes import Quantized
from triptych_models.weights import Linear

# operators that only onnxruntime has
_CONTRIB = "com.microsoft"


class FusedProducts:
    """For onnxruntime: QuantizeLinear, then one operator for product, scales and bias.

    Its own fusion of a QDQ graph leaves the bias apart, and so a pass over every output.
    """

    def __init__(self, quantized: Mapping[str, Quantized]) -> None:
        self._quantized = quantized

    def __call__(self, graph: GraphBuilder, name: str, linear: Linear, value: str) -> str:
        """Add the product."""
        one = self._quantized.get(name)
        if one is None:
            return add_linear(graph, name, linear, value)
        inner = f"{name}.inner" if len(one.outliers) else name
        scale, zero = _input_constants(graph, name, one)
        levels = _add_levels(graph, name, one, value)
        kernel = graph.constant(f"{name}.kernel", one.kernel)
        kernel_scale = graph.constant(f"{name}.kernel_scale", one.kernel_scale)
        bias = graph.constant(f"{name}.bias", linear.bias)
        # the kernel has no zero point
        operands = (levels, kernel, scale, kernel_scale, zero, "", bias)
        product = graph.add("MatMulIntegerToFloat", *operands, name=inner, domain=_CONTRIB)
        return _add_outliers(graph, name, one, value, product)


class PairedProducts:
    """For OpenVINO: plain operators between pairs of QuantizeLinear and DequantizeLinear."""

    def __init__(self, quantized: Mapping[str, Quantized]) -> None:
        self._quantized = quantized

    def __call__(self, graph: GraphBuilder, name: str, linear: Linear, value: str) -> str:
        """Add the product."""
        one = self._quantized.get(name)
        if one is None:
            return add_linear(graph, name, linear, value)
        inner = f"{name}.inner" if len(one.outliers) else name
        scale, zero = _input_constants(graph, name, one)
        levels = _add_levels(graph, name, one, value)
        rows = graph.add("DequantizeLinear", levels, scale, zero, name=f"{name}.rows")
        product = graph.add("MatMul", rows, self._kernel(graph, name, one), name=f"{name}.product")
        biased = graph.add("Add", product, graph.constant(f"{name}.bias", linear.bias), name=inner)
        return _add_outliers(graph, name, one, value, biased)

    def _kernel(self, graph: GraphBuilder, name: str, one: Quantized) -> str:
        kernel = graph.constant(f"{name}.kernel", one.kernel)
        scale = graph.constant(f"{name}.kernel_scale", one.kernel_scale)
        zeros = np.zeros(one.kernel.shape[1], np.int8)
        zero = graph.constant(f"{name}.kernel_zero", zeros)
        return graph.add("DequantizeLinear", kernel, scale, zero, name=f"{name}.columns", axis=1)


def _input_constants(graph: GraphBuilder, name: str, one: Quantized) -> tuple[str, str]:
    scale = graph.constant(f"{name}.input_scale", np.array(one.input_scale))
    return scale, graph.constant(f"{name}.input_zero", np.array(one.input_zero_point))


def _add_levels(graph: GraphBuilder, name: str, one: Quantized, value: str) -> str:
    """The input as uint8. Outliers are cut to its range, and meet rows of zeros in the kernel."""
    if one.smoothing is not None:
        factors = graph.constant(f"{name}.smoothing", one.smoothing)
        value = graph.add("Mul", value, factors, name=f"{name}.smooth")
    scale, zero = _input_constants(graph, name, one)
    return graph.add("QuantizeLinear", value, scale, zero, name=f"{name}.levels")


def _add_outliers(graph: GraphBuilder, name: str, one: Quantized, value: str, product: str) -> str:
    if not len(one.outliers):
        return product
    channels = graph.constant(f"{name}.outliers", one.outliers)
    slim = graph.add("Gather", value, channels, name=f"{name}.outlier_rows", axis=-1)
    kernel = graph.constant(f"{name}.outlier_kernel", one.outlier_kernel)
    added = graph.add("MatMul", slim, kernel, name=f"{name}.outlier_product")
    return graph.add("Add", product, added, name=name)
