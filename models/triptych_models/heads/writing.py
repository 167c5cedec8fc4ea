"""Writes a head's bundle: layers, golden logits, card and bundle.yaml; the same for equal fits."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from triptych_bundles import pooled_output
from triptych_models.heads.card import card
from triptych_models.heads.job import Training
from triptych_models.manifest import write_manifest

WEIGHTS = "head.safetensors"
GOLDEN = "head-golden.safetensors"
CARD = "model-card.md"
GOLDEN_ROWS = 32
_LAYERS = ("hidden", "out")
_HEADER = """\
# A Triptych head bundle: layers over the vectors of the model named under `trunk`. Its digest is
# the sha256 of this file, which pins every other by hash: change nothing by hand, train a new
# version.
#
# head     input: the trunk's output that is read; layers: y = activation(x @ kernel + bias)
# golden   raw vectors and the logits that the layers must make of them before the head may serve
"""

Array = NDArray[np.float32]


def write_head(folder: Path, training: Training) -> None:
    """Write every file of the bundle into an empty folder."""
    layers = training.outcome.fitted.layers()
    names = _LAYERS[-len(layers) :]
    tensors: dict[str, Array] = {}
    for name, layer in zip(names, layers, strict=True):
        tensors |= {f"{name}.kernel": layer.kernel, f"{name}.bias": layer.bias}
    (folder / WEIGHTS).write_bytes(save(tensors))
    (folder / GOLDEN).write_bytes(save(_golden(training)))
    (folder / CARD).write_text(card(training), encoding="utf-8")
    described = [
        {"name": name, "activation": layer.activation}
        for name, layer in zip(names, layers, strict=True)
    ]
    write_manifest(folder, _facts(training, described), _HEADER)


def _golden(training: Training) -> dict[str, Array]:
    """Rows of the test, and their logits by the layers as fitted: what is written is folded."""
    rows = training.parts.test
    spread = np.linspace(0, len(rows) - 1, min(GOLDEN_ROWS, len(rows))).astype(np.int64)
    inputs = training.data.vectors[rows[spread]]
    logits = training.outcome.fitted.logits(inputs)
    return {"inputs": inputs, "logits": logits.astype(np.float32)}


def _facts(training: Training, layers: list[dict[str, str]]) -> Mapping[str, object]:
    job, trunk = training.job, training.trunk
    return {
        "kind": "head",
        "name": job.name,
        "version": job.version,
        "task": "classify",
        "created": 0,
        "hidden_size": trunk.hidden_size,
        "licence": job.terms.licence,
        "trunk": {"name": trunk.name, "weights_sha256": trunk.base.weights_sha256},
        "head": {
            "input": pooled_output(trunk.pooling),
            "normalized": True,
            "layers": layers,
            "weights": WEIGHTS,
            "golden": GOLDEN,
            "labels": list(training.data.labels),
            "problem_type": "single_label_classification",
        },
    }
