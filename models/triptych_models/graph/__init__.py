"""ONNX graphs written from weights, node by node: no exporter and no torch."""

from triptych_models.graph.padded import OUTPUTS, padded_graph

__all__ = ["OUTPUTS", "padded_graph"]
