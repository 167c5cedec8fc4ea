"""The padded graph for a GPU, which the packed one is measured against.

Of the same fused operators, with the fastest attention that takes a mask. B sequences padded to S
tokens; `input_ids`, `position_ids` and `token_type_ids` are int32 [B, S], and

- `key_lengths` int32 [3·B + 2]: the lengths, then 0, S, ..., B·S twice, for queries and for keys
- `first_tokens`, `last_tokens` [R] and `token_index` [B·S] count tokens over all rows, and
  `sequence_index` [S] is there as in the packed graph

Outputs are those of the packed graph, with B·S tokens.
"""

from collections.abc import Sequence

import numpy as np
import onnx

from triptych_bundles import HIDDEN_OUTPUT
from triptych_models.config import EncoderConfig
from triptych_models.graph.builder import CONTRIB, GraphBuilder, integer_input
from triptych_models.graph.fused import FusedGraph
from triptych_models.graph.packed import (
    add_outputs,
    fused_outputs,
    position_metadata,
    relative_bias,
)
from triptych_models.graph.ranges import FIRST, INDEX, LAST
from triptych_models.weights import EncoderWeights, Layer, Linear


def padded_gpu_graph(
    weights: EncoderWeights,
    config: EncoderConfig,
    token_classifier: Linear | None = None,
    kind: type[np.floating] = np.float16,
) -> onnx.ModelProto:
    """As `packed_graph`, padded."""
    graph = GraphBuilder()
    attention = _PaddedAttention(graph, weights, config, kind)
    encoder = FusedGraph(graph, config, kind, attention)
    padded = encoder.hidden_states(weights, "padded_states")
    shape = graph.integers(-1, config.hidden_size)
    hidden = graph.add("Reshape", padded, shape, name=HIDDEN_OUTPUT)
    add_outputs(graph, token_classifier, hidden)
    outputs = fused_outputs(config, token_classifier, kind)
    return graph.model(_inputs(weights), outputs, position_metadata(config))


class _PaddedAttention:
    """See Attend."""

    def __init__(
        self,
        graph: GraphBuilder,
        weights: EncoderWeights,
        config: EncoderConfig,
        kind: type[np.floating],
    ) -> None:
        self._graph = graph
        self._heads = config.heads
        bias = relative_bias(graph, weights, config, kind)
        self._bias = ("", bias) if bias else ()

    def __call__(self, encoder: FusedGraph, name: str, layer: Layer, states: str) -> str:
        parts = (layer.query, layer.key, layer.value)
        kernel = np.concatenate([part.kernel for part in parts], axis=1)
        inputs = (
            states,
            encoder.constant(f"{name}.qkv.kernel", kernel),
            encoder.constant(f"{name}.qkv.bias", np.concatenate([part.bias for part in parts])),
            "key_lengths",
            *self._bias,
        )
        return self._graph.add(
            "Attention", *inputs, name=f"{name}.context", domain=CONTRIB, num_heads=self._heads
        )


def _inputs(weights: EncoderWeights) -> Sequence[onnx.ValueInfoProto]:
    types = () if weights.token_types is None else ("token_type_ids",)
    inputs = [integer_input(name) for name in ("input_ids", "position_ids", *types)]
    shapes = {"key_lengths": "bounds", FIRST: "ranges", LAST: "ranges", INDEX: "tokens"}
    if weights.relative_bias is not None:
        shapes["sequence_index"] = "sequence"
    return inputs + [integer_input(name, shape) for name, shape in shapes.items()]
