"""The models that are measured: shapes of real ones, with random weights."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import onnx

from triptych_models.config import EncoderConfig
from triptych_models.graph import packed_graph, padded_gpu_graph, padded_graph
from triptych_models.weights import EncoderWeights, Layer, Linear, Norm

# Measured on one H200 in bf16 (cuBLAS, 8192 cubed); the limits of the table follow from it.
PEAK_FLOPS: Final = 790e12
VOCABULARY, POSITIONS, SPREAD = 30_522, 512, 0.02
GRAPHS: Final[Mapping[str, Callable[..., onnx.ModelProto]]] = {
    "packed": packed_graph,
    "padded": padded_gpu_graph,
    "cpu": padded_graph,
}


@dataclass(frozen=True, slots=True)
class ModelShape:
    """L layers, H elements, N heads; `length` is what the target is stated for."""

    name: str
    layers: int
    hidden: int
    heads: int
    length: int
    must: float
    """Least share of the limit."""

    def flops(self, length: float) -> float:
        """Of one token in a sequence of `length`: 24·L·H² + 4·L·S·H."""
        return 24 * self.layers * self.hidden**2 + 4 * self.layers * length * self.hidden

    def limit(self, length: float) -> float:
        """Tokens a second that the card could compute at its measured peak."""
        return PEAK_FLOPS / self.flops(length)

    @property
    def config(self) -> EncoderConfig:
        """As config.json would have it."""
        return EncoderConfig(
            model_type="bert",
            layers=self.layers,
            heads=self.heads,
            hidden_size=self.hidden,
            embedding_size=self.hidden,
            intermediate_size=4 * self.hidden,
            vocab_size=VOCABULARY,
            max_positions=POSITIONS,
            token_types=2,
            padding_id=None,
            relative_buckets=0,
            activation="gelu",
            layer_norm_epsilon=1e-12,
        )


SHAPES: Final = {
    shape.name: shape
    for shape in (
        ModelShape("tiny", 2, 64, 4, 32, 0.0),
        ModelShape("minilm-l6", 6, 384, 12, 128, 0.30),
        ModelShape("bert-base", 12, 768, 12, 128, 0.50),
        ModelShape("bert-large", 24, 1024, 16, 384, 0.60),
    )
}


def random_weights(shape: ModelShape, seed: int = 1) -> EncoderWeights:
    """As a model starts its training: normal, of the usual standard deviation."""
    numbers = np.random.default_rng(seed)
    hidden, inner = shape.hidden, 4 * shape.hidden

    def linear(inputs: int, outputs: int) -> Linear:
        kernel = numbers.standard_normal((inputs, outputs), np.float32) * np.float32(SPREAD)
        return Linear(kernel, numbers.standard_normal(outputs, np.float32) * np.float32(SPREAD))

    def table(rows: int) -> np.ndarray:
        return numbers.standard_normal((rows, hidden), np.float32)

    norm = Norm(np.ones(hidden, np.float32), np.zeros(hidden, np.float32))
    layers = tuple(
        Layer(
            linear(hidden, hidden),
            linear(hidden, hidden),
            linear(hidden, hidden),
            linear(hidden, hidden),
            norm,
            linear(hidden, inner),
            linear(inner, hidden),
            norm,
        )
        for _ in range(shape.layers)
    )
    return EncoderWeights(table(VOCABULARY), table(POSITIONS), table(2), norm, None, None, layers)


def graph_path(folder: Path, shape: str, kind: str) -> Path:
    """Where `write_graphs` puts a graph."""
    return folder / f"{shape}-{kind}.onnx"


def write_graphs(folder: Path, shape: ModelShape) -> None:
    """All graphs of a shape."""
    weights = random_weights(shape)
    for kind, build in GRAPHS.items():
        content = build(weights, shape.config).SerializeToString()
        graph_path(folder, shape.name, kind).write_bytes(content)
