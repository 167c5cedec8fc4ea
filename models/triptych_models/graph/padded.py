"""The whole graph for a CPU: padded batches in, every pooling out."""

import onnx
from onnx import TensorProto

from triptych_bundles import HIDDEN_OUTPUT, POOLINGS, pooled_output
from triptych_models.config import EncoderConfig
from triptych_models.graph.bert import BertGraph
from triptych_models.graph.builder import GraphBuilder, float_output, integer_input
from triptych_models.graph.pooling import pool_cls, pool_last_token, pool_mean
from triptych_models.weights import EncoderWeights

INPUTS = ("input_ids", "attention_mask", "token_type_ids")
OUTPUTS = (*map(pooled_output, POOLINGS), HIDDEN_OUTPUT)


def padded_graph(weights: EncoderWeights, config: EncoderConfig) -> onnx.ModelProto:
    """Inputs int32[batch, sequence], padded on the right; outputs raw float32 (see OUTPUTS)."""
    graph = GraphBuilder()
    mask = graph.add("Cast", "attention_mask", name="mask", to=TensorProto.FLOAT)
    encoder = BertGraph(graph, config)
    hidden = encoder.hidden_states(weights, "input_ids", "token_type_ids", mask, name=HIDDEN_OUTPUT)
    pool_cls(graph, hidden, name=pooled_output("cls"))
    pool_mean(graph, hidden, mask, name=pooled_output("mean"))
    pool_last_token(graph, hidden, mask, name=pooled_output("last_token"))
    width = config.hidden_size
    pooled = [float_output(pooled_output(pooling), "batch", width) for pooling in POOLINGS]
    states = float_output(HIDDEN_OUTPUT, "batch", "sequence", width)
    return graph.model([integer_input(name) for name in INPUTS], [*pooled, states])
