"""Walks over everything that an ONNX model holds, sub-graphs and functions included."""

from collections.abc import Iterable, Iterator

import onnx


def nodes(model: onnx.ModelProto) -> Iterator[onnx.NodeProto]:
    """Every node, also of the bodies of conditions, loops and functions."""
    yield from _nodes(model.graph.node)
    for function in model.functions:
        yield from _nodes(function.node)


def tensors(model: onnx.ModelProto) -> Iterator[onnx.TensorProto]:
    """Every stored tensor: weights, and constants in the attributes of nodes."""
    yield from _stored(model.graph)
    for node in nodes(model):
        for attribute in node.attribute:
            yield from (attribute.t, *attribute.tensors)
            for graph in (attribute.g, *attribute.graphs):
                yield from _stored(graph)


def _nodes(several: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in several:
        yield node
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs):
                yield from _nodes(graph.node)


def _stored(graph: onnx.GraphProto) -> Iterator[onnx.TensorProto]:
    yield from graph.initializer
    for sparse in graph.sparse_initializer:
        yield from (sparse.values, sparse.indices)
