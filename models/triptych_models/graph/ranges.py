"""Pooling of ranges of tokens: sequences and their segments alike, in float32.

The token axis is T long; R ranges go from `first_tokens` to `last_tokens` [R], both included.
"""

from onnx import TensorProto

from triptych_bundles import pooled_output
from triptych_models.graph.builder import GraphBuilder

FIRST, LAST, INDEX = "first_tokens", "last_tokens", "token_index"


def pool_ranges(graph: GraphBuilder, hidden: str) -> str:
    """Add every pooling of hidden states [T, H] as an output [R, H]; the states in float32."""
    states = graph.add("Cast", hidden, name="pooled.states", to=TensorProto.FLOAT)
    graph.add("Gather", states, FIRST, name=pooled_output("cls"))
    graph.add("Gather", states, LAST, name=pooled_output("last_token"))
    _pool_mean(graph, states, pooled_output("mean"))
    return states


def _pool_mean(graph: GraphBuilder, states: str, name: str) -> None:
    """Ones and zeros times the states: tensor cores multiply those exactly, and add in float32."""
    add, one = graph.add, graph.integers(1)
    first = add("Unsqueeze", FIRST, one, name="mean.first")
    last = add("Unsqueeze", LAST, one, name="mean.last")
    begun = add("GreaterOrEqual", INDEX, first, name="mean.begun")
    unended = add("LessOrEqual", INDEX, last, name="mean.unended")
    inside = add("And", begun, unended, name="mean.inside")
    members = add("Cast", inside, name="mean.members", to=TensorProto.FLOAT)
    total = add("MatMul", members, states, name="mean.total")
    steps = add("Sub", last, first, name="mean.steps")
    span = add("Cast", steps, name="mean.span", to=TensorProto.FLOAT)
    count = add("Add", span, graph.number(1), name="mean.count")
    add("Div", total, count, name=name)
