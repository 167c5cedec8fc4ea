"""The tensors of a checkpoint, and the roles they play in the graph."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from triptych_models import architectures as names
from triptych_models.config import EncoderConfig
from triptych_models.errors import FetchError, UnsupportedModel

Array = NDArray[np.float32]
Tensors = Mapping[str, Array]
_ANCHOR = f"{names.WORDS}.weight"


@dataclass(frozen=True, slots=True)
class Linear:
    """y = x @ kernel + bias, with kernel [in, out] and bias [out]."""

    kernel: Array
    bias: Array


@dataclass(frozen=True, slots=True)
class Norm:
    """Scale and shift of a layer normalisation, [width] each."""

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
    """Tables are [vocabulary, E], [positions, E] and [types, E], of embeddings E wide."""

    words: Array
    positions: Array
    token_types: Array | None
    embedding_norm: Norm
    projection: Linear | None
    """From the embeddings' width to the layers', where they differ."""
    relative_bias: Array | None
    """[buckets, heads]."""
    layers: tuple[Layer, ...]


def read_tensors(path: Path, config: EncoderConfig) -> Tensors:
    """All tensors of a safetensors file, weights as float32, named as in an encoder without a head.

    Beside a head the encoder's names have a prefix, which is left out here.
    """
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise FetchError(f"{path}: cannot be read: {error}") from error
    prefix = config.architecture.prefix
    bare = {name.removeprefix(prefix): _as_float(one) for name, one in tensors.items()}
    if _ANCHOR not in bare:
        reason = f"not the weights of an encoder of type {config.model_type}"
        raise UnsupportedModel(f"{path.name} holds no {_ANCHOR!r}: {reason}")
    return bare


def _as_float(tensor: NDArray[Any]) -> NDArray[Any]:
    """In float32; whole numbers, such as the ids of positions, are no weights and stay."""
    return tensor if tensor.dtype.kind in "biu" else np.asarray(tensor, np.float32)


def encoder_weights(tensors: Tensors, config: EncoderConfig) -> EncoderWeights:
    """Name every tensor's role; UnsupportedModel where one is missing or has another shape."""
    checkpoint, width = _Checkpoint(tensors), config.embedding_size
    projected = width != config.hidden_size
    types = (names.TOKEN_TYPES, config.token_types, width)
    bias = (names.RELATIVE_BIAS, config.relative_buckets, config.heads)
    return EncoderWeights(
        words=checkpoint.table(names.WORDS, config.vocab_size, width),
        positions=checkpoint.table(names.POSITIONS, config.max_positions, width),
        token_types=checkpoint.table(*types) if config.token_types else None,
        embedding_norm=checkpoint.norm(names.EMBEDDING_NORM, width),
        projection=(
            checkpoint.linear(names.PROJECTION, width, config.hidden_size) if projected else None
        ),
        relative_bias=checkpoint.table(*bias) if config.relative_buckets else None,
        layers=tuple(_layer(checkpoint, config, index) for index in range(config.layers)),
    )


def classifier_weights(tensors: Tensors, config: EncoderConfig, labels: int) -> Sequence[Linear]:
    """The layers of the head for whole inputs; as `encoder_weights`."""
    hidden, layers = config.hidden_size, config.classifier
    widths = [*[hidden] * (len(layers) - 1), labels]
    checkpoint = _Checkpoint(tensors)
    return [
        checkpoint.linear(dense.name, hidden, width)
        for dense, width in zip(layers, widths, strict=True)
    ]


def token_classifier_weights(tensors: Tensors, config: EncoderConfig, labels: int) -> Linear:
    """The head for tokens; as `encoder_weights`."""
    return _Checkpoint(tensors).linear(names.CLASSIFIER, config.hidden_size, labels)


def _layer(checkpoint: "_Checkpoint", config: EncoderConfig, index: int) -> Layer:
    hidden, inner = config.hidden_size, config.intermediate_size
    own, prefix = config.architecture.names, f"{config.architecture.layers}.{index}"
    return Layer(
        query=checkpoint.linear(f"{prefix}.{own.query}", hidden, hidden),
        key=checkpoint.linear(f"{prefix}.{own.key}", hidden, hidden),
        value=checkpoint.linear(f"{prefix}.{own.value}", hidden, hidden),
        attention_output=checkpoint.linear(f"{prefix}.{own.attention_output}", hidden, hidden),
        attention_norm=checkpoint.norm(f"{prefix}.{own.attention_norm}", hidden),
        intermediate=checkpoint.linear(f"{prefix}.{own.intermediate}", hidden, inner),
        output=checkpoint.linear(f"{prefix}.{own.output}", inner, hidden),
        output_norm=checkpoint.norm(f"{prefix}.{own.output_norm}", hidden),
    )


class _Checkpoint:
    def __init__(self, tensors: Tensors) -> None:
        self._tensors = tensors

    def table(self, name: str, rows: int, width: int) -> Array:
        return self._tensor(f"{name}.weight", (rows, width))

    def norm(self, name: str, width: int) -> Norm:
        # checkpoints converted from TensorFlow keep that framework's names
        scale, shift = ("gamma", "beta") if f"{name}.gamma" in self._tensors else ("weight", "bias")
        return Norm(
            self._tensor(f"{name}.{scale}", (width,)), self._tensor(f"{name}.{shift}", (width,))
        )

    def linear(self, name: str, inputs: int, outputs: int) -> Linear:
        weight = self._tensor(f"{name}.weight", (outputs, inputs))
        return Linear(weight.T, self._tensor(f"{name}.bias", (outputs,)))

    def _tensor(self, name: str, shape: tuple[int, ...]) -> Array:
        tensor = self._tensors.get(name)
        if tensor is None or tensor.shape != shape:
            found = "is missing" if tensor is None else f"has shape {tensor.shape}"
            raise UnsupportedModel(f"tensor {name!r} {found}, expected shape {shape}")
        if tensor.dtype != np.float32:
            raise UnsupportedModel(f"tensor {name!r} is of {tensor.dtype}, not of a floating type")
        return tensor
