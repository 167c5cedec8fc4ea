"""The head that a model came with, as a bundle holds it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from triptych_bundles import Dense, pooled_output
from triptych_models.classes import Classes
from triptych_models.config import EncoderConfig
from triptych_models.reference import ReferenceEncoder
from triptych_models.weights import Linear

WEIGHTS = "head.safetensors"
GOLDEN = "head-golden.safetensors"


def write_head(folder: Path, layers: Sequence[Dense], weights: Sequence[Linear]) -> None:
    """Write the layers."""
    tensors = {}
    for layer, linear in zip(layers, weights, strict=True):
        tensors[f"{layer.name}.kernel"] = np.ascontiguousarray(linear.kernel)
        tensors[f"{layer.name}.bias"] = linear.bias
    (folder / WEIGHTS).write_bytes(save(tensors))


def write_head_golden(
    folder: Path, encoder: ReferenceEncoder, vectors: NDArray[np.float32]
) -> None:
    """Write raw `vectors` [N, H] and the logits that the reference makes of them."""
    logits = np.stack([encoder.classify(vector) for vector in vectors.astype(np.float64)])
    golden = {"inputs": vectors, "logits": logits.astype(np.float32)}
    (folder / GOLDEN).write_bytes(save(golden))


def head_facts(classes: Classes, config: EncoderConfig) -> Mapping[str, object]:
    """The manifest's section."""
    return {
        "input": pooled_output(config.classifier_input),
        "normalized": False,
        "layers": [{"name": one.name, "activation": one.activation} for one in config.classifier],
        "weights": WEIGHTS,
        "golden": GOLDEN,
        "labels": list(classes.labels),
        "problem_type": classes.problem_type,
    }
