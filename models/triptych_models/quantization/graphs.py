"""The graphs in int8 of an encoder."""

from collections.abc import Mapping, Sequence

import onnx

from triptych_bundles import INT8_GRAPHS
from triptych_models.config import EncoderConfig
from triptych_models.graph import Product, padded_graph
from triptych_models.progress import Say
from triptych_models.quantization.calibration import Recorder, calibrate
from triptych_models.quantization.keeping import Products, keep_labels
from triptych_models.quantization.products import FusedProducts, PairedProducts
from triptych_models.quantization.recipes import quantize
from triptych_models.runtime import Ids
from triptych_models.weights import EncoderWeights, Linear


def int8_graphs(
    weights: EncoderWeights,
    config: EncoderConfig,
    token_classifier: Linear | None,
    sequences: Sequence[Ids],
    samples: Sequence[Ids],
    say: Say,
) -> Mapping[str, onnx.ModelProto]:
    """By variant, INT8_GRAPHS: same inputs and outputs as the graph in fp32.

    Tables, normalisation, attention's own products, pooling and the classifier of tokens stay in
    fp32. `sequences` are the token ids of the calibration's texts. By `samples`, inputs of a
    tagger's own task, the first layers may stay in fp32 too (see keep_labels).
    """
    recorder = Recorder()
    seen = calibrate(weights, config, recorder, sequences)
    quantized: Products = {name: quantize(recorder.linears[name], seen[name]) for name in seen}

    def graph(product: Product) -> onnx.ModelProto:
        return padded_graph(weights, config, token_classifier, product)

    if token_classifier is not None and samples:
        quantized = keep_labels(
            lambda kept: graph(FusedProducts(kept)), quantized, config.layers, samples, say
        )
    products: tuple[Product, ...] = (FusedProducts(quantized), PairedProducts(quantized))
    return dict(zip(INT8_GRAPHS, map(graph, products), strict=True))
