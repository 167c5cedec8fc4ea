"""Names of a BERT checkpoint's tensors, and the roles they play in the graph."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from triptych_models.config import EncoderConfig
from triptych_models.errors import FetchError, UnsupportedModel

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]
# a bare encoder's names have no prefix, those under a task's head have the encoder's
_PREFIXES = ("", "bert.")
_ANCHOR = "embeddings.word_embeddings.weight"


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x @ kernel + bias, with kernel [in, out] and bias [out]."""

    kernel: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Norm:
    """Scale and shift of a layer normalisation, [hidden] each."""

    scale: Array
    shift: Array


@dataclass(frozen=True, slots=True)
class Layer:
    """One encoder layer."""

    query: Linear
    key: Linear
    value: Linear
    attention_output: Linear
    attention_norm: Norm
    intermediate: Linear
    output: Linear
    output_norm: Norm


@dataclass(frozen=True, slots=True)
class EncoderWeights:
    """Tables are [vocabulary, hidden], [positions, hidden] and [types, hidden]."""

    words: Array
    positions: Array
    token_types: Array
    embedding_norm: Norm
    layers: tuple[Layer, ...]


def read_tensors(path: Path) -> Tensors:
    """All tensors of a safetensors file as float32, without the prefix of their encoder."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FetchError(f"{path}: cannot be read: {error}") from error
    for prefix in _PREFIXES:
        if prefix + _ANCHOR in tensors:
            return {
                name.removeprefix(prefix): np.asarray(tensor, np.float32)
                for name, tensor in tensors.items()
                if name.startswith(prefix)
            }
    raise UnsupportedModel(f"{path.name} holds no {_ANCHOR!r}: not the weights of a BERT")


def bert_weights(tensors: Tensors, config: EncoderConfig) -> EncoderWeights:
    """Name every tensor's role; UnsupportedModel where one is missing or has another shape."""
    names = _Checkpoint(tensors, config.hidden_size)
    inner = config.intermediate_size
    return EncoderWeights(
        words=names.table("embeddings.word_embeddings", config.vocab_size),
        positions=names.table("embeddings.position_embeddings", config.max_positions),
        token_types=names.table("embeddings.token_type_embeddings", config.token_types),
        embedding_norm=names.norm("embeddings.LayerNorm"),
        layers=tuple(
            _layer(names, f"encoder.layer.{index}", inner) for index in range(config.layers)
        ),
    )


def _layer(names: "_Checkpoint", prefix: str, inner: int) -> Layer:
    hidden = names.hidden
    return Layer(
        query=names.linear(f"{prefix}.attention.self.query", hidden, hidden),
        key=names.linear(f"{prefix}.attention.self.key", hidden, hidden),
        value=names.linear(f"{prefix}.attention.self.value", hidden, hidden),
        attention_output=names.linear(f"{prefix}.attention.output.dense", hidden, hidden),
        attention_norm=names.norm(f"{prefix}.attention.output.LayerNorm"),
        intermediate=names.linear(f"{prefix}.intermediate.dense", hidden, inner),
        output=names.linear(f"{prefix}.output.dense", inner, hidden),
        output_norm=names.norm(f"{prefix}.output.LayerNorm"),
    )


class _Checkpoint:
    def __init__(self, tensors: Tensors, hidden: int) -> None:
        self._tensors = tensors
        self.hidden = hidden

    def table(self, name: str, rows: int) -> Array:
        return self._tensor(f"{name}.weight", (rows, self.hidden))

    def norm(self, name: str) -> Norm:
        # checkpoints converted from TensorFlow keep that framework's names
        scale, shift = ("gamma", "beta") if f"{name}.gamma" in self._tensors else ("weight", "bias")
        shape = (self.hidden,)
        return Norm(self._tensor(f"{name}.{scale}", shape), self._tensor(f"{name}.{shift}", shape))

    def linear(self, name: str, inputs: int, outputs: int) -> Linear:
        weight = self._tensor(f"{name}.weight", (outputs, inputs))
        return Linear(weight.T, self._tensor(f"{name}.bias", (outputs,)))

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Array:
        tensor = self._tensors.get(name)
        if tensor is None or tensor.shape != shape:
            found = "is missing" if tensor is None else f"has shape {tensor.shape}"
            raise UnsupportedModel(f"tensor {name!r} {found}, expected shape {shape}")
        return tensor
