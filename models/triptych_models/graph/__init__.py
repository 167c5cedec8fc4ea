"""ONNX graphs written from weights, node by node: no exporter and no torch."""

from triptych_models.graph.builder import GraphBuilder
from triptych_models.graph.encoder import Product, add_linear
from triptych_models.graph.padded import OUTPUTS, padded_graph

__all__ = ["OUTPUTS", "GraphBuilder", "Product", "add_linear", "padded_graph"]
