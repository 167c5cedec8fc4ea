"""The whole graph for a CPU: padded batches in, every pooling out."""

import onnx
from onnx import TensorProto

from triptych_bundles import HIDDEN_OUTPUT, POOLINGS, TOKEN_LOGITS_OUTPUT, pooled_output
from triptych_models.config import EncoderConfig
from triptych_models.graph.builder import GraphBuilder, float_output, integer_input
from triptych_models.graph.encoder import EncoderGraph, Product, add_linear
from triptych_models.graph.pooling import pool_cls, pool_last_token, pool_mean
from triptych_models.weights import EncoderWeights, Linear

OUTPUTS = (*map(pooled_output, POOLINGS), HIDDEN_OUTPUT)
_TOKEN_TYPES = "token_type_ids"  # noqa: S105 (no secret)


def padded_graph(
    weights: EncoderWeights,
    config: EncoderConfig,
    token_classifier: Linear | None = None,
    product: Product = add_linear,
) -> onnx.ModelProto:
    """Inputs int32[batch, sequence], padded on the right; outputs raw float32 (see OUTPUTS).

    With a classifier of tokens there is TOKEN_LOGITS_OUTPUT too. Token types are no input where
    the weights have none.
    """
    graph = GraphBuilder()
    mask = graph.add("Cast", "attention_mask", name="mask", to=TensorProto.FLOAT)
    encoder = EncoderGraph(graph, config, product)
    hidden = encoder.hidden_states(weights, "input_ids", _TOKEN_TYPES, mask, name=HIDDEN_OUTPUT)
    pool_cls(graph, hidden, name=pooled_output("cls"))
    pool_mean(graph, hidden, mask, name=pooled_output("mean"))
    pool_last_token(graph, hidden, mask, name=pooled_output("last_token"))
    if token_classifier is not None:
        # a few labels wide: not worth fewer bits
        add_linear(graph, TOKEN_LOGITS_OUTPUT, token_classifier, hidden)
    types = () if weights.token_types is None else (_TOKEN_TYPES,)
    inputs = [integer_input(name) for name in ("input_ids", "attention_mask", *types)]
    return graph.model(inputs, _outputs(config, token_classifier))


def _outputs(config: EncoderConfig, classifier: Linear | None) -> list[onnx.ValueInfoProto]:
    width = config.hidden_size
    outputs = [float_output(pooled_output(pooling), "batch", width) for pooling in POOLINGS]
    outputs.append(float_output(HIDDEN_OUTPUT, "batch", "sequence", width))
    if classifier is not None:
        labels = len(classifier.bias)
        outputs.append(float_output(TOKEN_LOGITS_OUTPUT, "batch", "sequence", labels))
    return outputs
