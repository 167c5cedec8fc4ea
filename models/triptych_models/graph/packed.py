"""The graph for a GPU: the tokens of all sequences one after the other, nothing padded.

B sequences of at most S tokens, T tokens in all, R ranges to pool; every input is int32:

- `input_ids`, `position_ids` and, where the model has types, `token_type_ids` [T]
- `cu_seqlens` [B + 1]: where each sequence starts, and T
- `token_offset` [B, S]: the places that the tokens would have in a padded batch, in order, and then
  the places that would be padding; its shape is what most kernels read
- `first_tokens`, `last_tokens` [R]: ranges of the token axis, both ends included
- `token_index` [T]: 0, 1, 2, ..., and `sequence_index` [S] likewise, the latter only where
  attention is biased by distance

Outputs: every pooling float32 [R, H], the last hidden states [T, H] in the graph's type, and the
logits of tokens float32 [T, labels] where there is a classifier.
"""

from collections.abc import Sequence

import numpy as np
import onnx
from onnx import helper

from triptych_bundles import HIDDEN_OUTPUT, POOLINGS, TOKEN_LOGITS_OUTPUT, pooled_output
from triptych_models.config import EncoderConfig
from triptych_models.graph.builder import CONTRIB, GraphBuilder, float_output, integer_input
from triptych_models.graph.encoder import add_linear
from triptych_models.graph.fused import FusedGraph
from triptych_models.graph.positions import distance_bias
from triptych_models.graph.ranges import FIRST, INDEX, LAST, pool_ranges
from triptych_models.weights import EncoderWeights, Layer, Linear

POSITION_PADDING_ID = "position_padding_id"
"""In the file's metadata where positions are counted from the padding's id on, see `positions`."""
MAX_LENGTH = "max_length"
"""In the file's metadata: tokens of the longest sequence that there are positions for."""
# S is a multiple of it, which a bias needs of the memory-efficient kernel in float32 and float16
WIDTH_MULTIPLE = 16


def packed_graph(
    weights: EncoderWeights,
    config: EncoderConfig,
    token_classifier: Linear | None = None,
    kind: type[np.floating] = np.float16,
) -> onnx.ModelProto:
    """The packed graph in floating type `kind`: float16 to serve, float32 to be held against."""
    graph = GraphBuilder()
    attention = _PackedAttention(graph, weights, config, kind)
    encoder = FusedGraph(graph, config, kind, attention)
    hidden = encoder.hidden_states(weights, HIDDEN_OUTPUT)
    add_outputs(graph, token_classifier, hidden)
    outputs = fused_outputs(config, token_classifier, kind)
    return graph.model(_inputs(weights), outputs, position_metadata(config))


class _PackedAttention:
    """See Attend."""

    def __init__(
        self,
        graph: GraphBuilder,
        weights: EncoderWeights,
        config: EncoderConfig,
        kind: type[np.floating],
    ) -> None:
        self._graph = graph
        self._config = config
        self._bias = relative_bias(graph, weights, config, kind)

    def __call__(self, encoder: FusedGraph, name: str, layer: Layer, states: str) -> str:
        qkv = interleaved_qkv(layer, self._config.heads)
        biases = encoder.constant(f"{name}.qkv.bias", qkv.bias)
        products = encoder.product(f"{name}.qkv", qkv, states)
        shape = self._graph.integers(0, self._config.heads, 3, self._config.head_size)
        heads = self._graph.add("Reshape", products, shape, name=f"{name}.heads")
        inputs = [heads, "", "", biases, "token_offset", "cu_seqlens", self._bias]
        return self._graph.add(
            "PackedMultiHeadAttention",
            *(inputs if self._bias else inputs[:-1]),
            name=f"{name}.context",
            domain=CONTRIB,
            num_heads=self._config.heads,
        )


def interleaved_qkv(layer: Layer, heads: int) -> Linear:
    """One [H, 3·H] projection with columns laid out N, 3, D; the biases stay 3, N, D.

    The operator reads them so, and scales the scores itself.
    """
    parts = (layer.query, layer.key, layer.value)
    split = [part.kernel.reshape(len(part.kernel), heads, -1) for part in parts]
    kernel = np.stack(split, axis=2).reshape(len(layer.query.kernel), -1)
    return Linear(kernel, np.concatenate([part.bias for part in parts]))


def relative_bias(
    graph: GraphBuilder, weights: EncoderWeights, config: EncoderConfig, kind: type[np.floating]
) -> str:
    """What distances add to the scores; empty where the model has no such table."""
    if weights.relative_bias is None:
        return ""
    table = weights.relative_bias.astype(kind)
    return distance_bias(graph, table, config, "sequence_index", WIDTH_MULTIPLE)


def add_outputs(graph: GraphBuilder, token_classifier: Linear | None, hidden: str) -> None:
    """Pooled ranges of the hidden states, and logits of tokens if any, all in float32."""
    states = pool_ranges(graph, hidden)
    if token_classifier is not None:
        add_linear(graph, TOKEN_LOGITS_OUTPUT, token_classifier, states)


def position_metadata(config: EncoderConfig) -> dict[str, str]:
    """What the host must know to number the positions."""
    known = {MAX_LENGTH: str(config.max_length)}
    if config.padding_id is not None:
        known[POSITION_PADDING_ID] = str(config.padding_id)
    return known


def _inputs(weights: EncoderWeights) -> Sequence[onnx.ValueInfoProto]:
    shapes: dict[str, tuple[str, ...]] = {"input_ids": ("tokens",), "position_ids": ("tokens",)}
    if weights.token_types is not None:
        shapes["token_type_ids"] = ("tokens",)
    shapes |= {"cu_seqlens": ("sequences_plus_1",), "token_offset": ("sequences", "width")}
    shapes |= {FIRST: ("ranges",), LAST: ("ranges",), INDEX: ("tokens",)}
    if weights.relative_bias is not None:
        shapes["sequence_index"] = ("width",)
    return [integer_input(name, *shape) for name, shape in shapes.items()]


def fused_outputs(
    config: EncoderConfig, classifier: Linear | None, kind: type[np.floating]
) -> Sequence[onnx.ValueInfoProto]:
    """What a graph of fused operators gives."""
    width, of_kind = config.hidden_size, helper.np_dtype_to_tensor_dtype(np.dtype(kind))
    outputs = [float_output(pooled_output(pooling), "ranges", width) for pooling in POOLINGS]
    outputs.append(float_output(HIDDEN_OUTPUT, "tokens", width, kind=of_kind))
    if classifier is not None:
        outputs.append(float_output(TOKEN_LOGITS_OUTPUT, "tokens", len(classifier.bias)))
    return outputs
