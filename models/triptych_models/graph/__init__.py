"""ONNX graphs written from weights, node by node: no exporter and no torch."""

from triptych_models.graph.builder import GraphBuilder
from triptych_models.graph.encoder import Product, add_linear
from triptych_models.graph.packed import packed_graph
from triptych_models.graph.padded import OUTPUTS, padded_graph
from triptych_models.graph.padded_gpu import padded_gpu_graph

__all__ = [
    "OUTPUTS",
    "GraphBuilder",
    "Product",
    "add_linear",
    "packed_graph",
    "padded_gpu_graph",
    "padded_graph",
]
