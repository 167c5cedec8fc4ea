"""Which layers of a tagger stay in fp32, so that its labels stay what they were.

A vector hardly turns by what int8 adds, but a token between two labels changes sides. What the
first layers add grows through all that follow: of all-MiniLM-L6-v2 tuned on WNUT 17 the first three
of six make 61 % of the shift on texts of another source, more for their time than any kind of
product through all layers.
"""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import onnx
from numpy.typing import NDArray

from triptych_bundles import TOKEN_LOGITS_OUTPUT
from triptych_models.progress import Say
from triptych_models.quantization.recipes import Quantized
from triptych_models.reference import softmax
from triptych_models.runtime import Ids, PaddedGraph

LABEL_SHIFT = 5e-4
"""Most that int8 may move a token's probabilities from label to label, on average over tokens: the
tuned tagger above reaches it with half of its layers, and as many again bring a third of that."""
MOST_KEPT = 2
"""At most one of so many layers stays in fp32: int8 would otherwise be hardly faster."""
MAX_SAMPLES = 400
"""Inputs that are looked at: some thousand tokens, in seconds."""
_BATCH = 8

Products = Mapping[str, Quantized]


def keep_labels(
    graph: Callable[[Products], onnx.ModelProto],
    quantized: Products,
    layers: int,
    samples: Sequence[Ids],
    say: Say,
) -> Products:
    """Without the products of the fewest first layers that `samples` need in fp32.

    `graph` makes the tagger of products in int8; those that it is not given are in fp32. Where half
    of the layers are too few they are what stays.
    """
    looked_at = sorted(samples[:MAX_SAMPLES], key=len)
    expected = _probabilities(graph({}), looked_at)
    for first in range(layers // MOST_KEPT + 1):
        kept = {name: one for name, one in quantized.items() if _layer(name) >= first}
        shift = float(np.abs(_probabilities(graph(kept), looked_at) - expected).sum(1).mean()) / 2
        say(f"  int8 from layer {first} on: labels shift by {shift:.6f}")
        if shift <= LABEL_SHIFT:
            break
    return kept


def _layer(name: str) -> int:
    """Of a product, from 0; what comes before all layers counts as the first's."""
    kind, index, *_ = name.split(".")
    return int(index) if kind == "layer" else 0


def _probabilities(model: onnx.ModelProto, samples: Sequence[Ids]) -> NDArray[np.float64]:
    """[T, labels] of the samples' T tokens."""
    graph = PaddedGraph(model.SerializeToString())
    logits = graph.run_all(samples, [TOKEN_LOGITS_OUTPUT], _BATCH)[TOKEN_LOGITS_OUTPUT]
    return softmax(logits.astype(np.float64))
