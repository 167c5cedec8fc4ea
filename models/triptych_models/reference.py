"""The same encoder a second time, in float64 numpy: slow, plain, and independent of the graph.

It reads the checkpoint by its own names, one text at a time and unpadded, so that a mistake in the
graph, in its weights' roles or in its padding shows as a difference. S tokens, H hidden elements.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from triptych_models.config import EncoderConfig
from triptych_models.weights import Tensors

Wide = NDArray[np.float64]
_erf = np.frompyfunc(math.erf, 1, 1)


def gelu(values: Wide) -> Wide:
    """The exact form, by the error function."""
    return values * 0.5 * (1 + np.asarray(_erf(values / math.sqrt(2)), np.float64))


def gelu_new(values: Wide) -> Wide:
    """The tanh approximation."""
    inner = math.sqrt(2 / math.pi) * (values + 0.044715 * values**3)
    gated: Wide = values * 0.5 * (1 + np.tanh(inner))
    return gated


def relu(values: Wide) -> Wide:
    """Negative values cut to zero."""
    return np.maximum(values, 0.0)


ACTIVATIONS: dict[str, Callable[[Wide], Wide]] = {"gelu": gelu, "gelu_new": gelu_new, "relu": relu}


class ReferenceEncoder:
    """A BERT's forward pass for one text."""

    def __init__(self, tensors: Tensors, config: EncoderConfig) -> None:
        self._tensors = {name: array.astype(np.float64) for name, array in tensors.items()}
        self._config = config

    def hidden_states(self, input_ids: NDArray[np.int32]) -> Wide:
        """The last layer's states [S, H] of the ids [S], all of token type 0."""
        table = self._tensors
        words = table["embeddings.word_embeddings.weight"][input_ids]
        positions = table["embeddings.position_embeddings.weight"][: len(input_ids)]
        types = table["embeddings.token_type_embeddings.weight"][0]
        states = self._norm("embeddings.LayerNorm", words + positions + types)
        for index in range(self._config.layers):
            states = self._layer(f"encoder.layer.{index}", states)
        return states

    def _layer(self, prefix: str, states: Wide) -> Wide:
        context = self._attention(f"{prefix}.attention.self", states)
        attended = self._linear(f"{prefix}.attention.output.dense", context)
        middle = self._norm(f"{prefix}.attention.output.LayerNorm", attended + states)
        inner = self._linear(f"{prefix}.intermediate.dense", middle)
        active = ACTIVATIONS[self._config.activation](inner)
        outer = self._linear(f"{prefix}.output.dense", active)
        return self._norm(f"{prefix}.output.LayerNorm", outer + middle)

    def _attention(self, prefix: str, states: Wide) -> Wide:
        """One head after the other."""
        query, key, value = (
            self._linear(f"{prefix}.{role}", states) for role in ("query", "key", "value")
        )
        size = self._config.head_size
        heads = [slice(start, start + size) for start in range(0, self._config.hidden_size, size)]
        contexts = [
            softmax(query[:, head] @ key[:, head].T / math.sqrt(size)) @ value[:, head]
            for head in heads
        ]
        return np.concatenate(contexts, axis=1)

    def _linear(self, name: str, values: Wide) -> Wide:
        return values @ self._tensors[f"{name}.weight"].T + self._tensors[f"{name}.bias"]

    def _norm(self, name: str, values: Wide) -> Wide:
        centred = values - values.mean(axis=-1, keepdims=True)
        variance = (centred**2).mean(axis=-1, keepdims=True)
        normal: Wide = centred / np.sqrt(variance + self._config.layer_norm_epsilon)
        old = f"{name}.gamma" in self._tensors
        scale, shift = ("gamma", "beta") if old else ("weight", "bias")
        return normal * self._tensors[f"{name}.{scale}"] + self._tensors[f"{name}.{shift}"]


def softmax(scores: Wide) -> Wide:
    """Rows that sum to one."""
    weights = np.exp(scores - scores.max(axis=-1, keepdims=True))
    shares: Wide = weights / weights.sum(axis=-1, keepdims=True)
    return shares


def pool(states: Wide) -> dict[str, Wide]:
    """The raw vectors [H] of one text by pooling."""
    return {"cls": states[0], "mean": states.mean(axis=0), "last_token": states[-1]}


def pooled_vectors(
    encoder: ReferenceEncoder, sequences: Sequence[NDArray[np.int32]]
) -> dict[str, NDArray[np.float32]]:
    """float32[N, H] by pooling, for N texts."""
    rows = [pool(encoder.hidden_states(input_ids)) for input_ids in sequences]
    return {name: np.stack([row[name] for row in rows]).astype(np.float32) for name in rows[0]}
