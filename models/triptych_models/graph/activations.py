"""Activation functions in plain operators, in the shapes that onnxruntime recognises and fuses."""

import math
from collections.abc import Callable

from triptych_models.graph.builder import GraphBuilder


def gelu(graph: GraphBuilder, value: str) -> str:
    """x/2 · (1 + erf(x/√2)), exact."""
    scaled = graph.add("Div", value, graph.number(math.sqrt(2)), name=f"{value}.scaled")
    error = graph.add("Erf", scaled, name=f"{value}.erf")
    shifted = graph.add("Add", error, graph.number(1), name=f"{value}.shifted")
    gated = graph.add("Mul", value, shifted, name=f"{value}.gated")
    return graph.add("Mul", gated, graph.number(0.5), name=f"{value}.gelu")


def gelu_new(graph: GraphBuilder, value: str) -> str:
    """x/2 · (1 + tanh(√(2/π) · (x + 0.044715·x³)))."""
    cube = graph.add("Pow", value, graph.number(3), name=f"{value}.cube")
    bent = graph.add("Mul", cube, graph.number(0.044715), name=f"{value}.bent")
    inner = graph.add("Add", value, bent, name=f"{value}.inner")
    scaled = graph.add("Mul", inner, graph.number(math.sqrt(2 / math.pi)), name=f"{value}.scaled")
    tanh = graph.add("Tanh", scaled, name=f"{value}.tanh")
    shifted = graph.add("Add", tanh, graph.number(1), name=f"{value}.shifted")
    half = graph.add("Mul", value, graph.number(0.5), name=f"{value}.half")
    return graph.add("Mul", half, shifted, name=f"{value}.gelu_new")


def relu(graph: GraphBuilder, value: str) -> str:
    """max(x, 0)."""
    return graph.add("Relu", value, name=f"{value}.relu")


ACTIVATIONS: dict[str, Callable[[GraphBuilder, str], str]] = {
    "gelu": gelu,
    "gelu_new": gelu_new,
    "relu": relu,
}
