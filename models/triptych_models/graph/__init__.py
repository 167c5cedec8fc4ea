"""ONNX graphs written from weights, node by node: no exporter and no torch."""

from triptych_models.graph.packed import packed_graph
from triptych_models.graph.padded import OUTPUTS, padded_graph
from triptych_models.graph.padded_gpu import padded_gpu_graph

__all__ = ["OUTPUTS", "packed_graph", "padded_gpu_graph", "padded_graph"]
