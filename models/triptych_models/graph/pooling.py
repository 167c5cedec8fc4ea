"""From hidden states to one vector a text, inside the graph and in float32."""

import numpy as np

from triptych_models.graph.builder import GraphBuilder


def pool_cls(graph: GraphBuilder, hidden: str, name: str) -> str:
    """The first token's state; texts are padded on the right."""
    first = graph.constant("first", np.array(0, np.int64))
    return graph.add("Gather", hidden, first, name=name, axis=1)


def pool_mean(graph: GraphBuilder, hidden: str, mask: str, name: str) -> str:
    """The mean over the tokens that `mask` (float32[batch, sequence]) holds 1 for."""
    row = graph.add("Unsqueeze", mask, graph.integers(1), name="mean.mask")
    summed = graph.add("MatMul", row, hidden, name="mean.sum")
    total = graph.add("Squeeze", summed, graph.integers(1), name="mean.total")
    count = graph.add("ReduceSum", mask, graph.integers(1), name="mean.count", keepdims=1)
    # a row that is all padding must not become NaN
    at_least_one = graph.add("Max", count, graph.number(1), name="mean.divisor")
    return graph.add("Div", total, at_least_one, name=name)


def pool_last_token(graph: GraphBuilder, hidden: str, mask: str, name: str) -> str:
    """The state of the last token that `mask` holds 1 for."""
    last = graph.add("ArgMax", mask, name="last.index", axis=1, keepdims=1, select_last_index=1)
    return graph.add("GatherND", hidden, last, name=name, batch_dims=1)
