"""The same encoder a second time, in float64 numpy: slow, plain, and independent of the graph.

It reads the checkpoint by its own names, one text at a time and unpadded, so that a mistake in the
graph, in its weights' roles or in its padding shows as a difference. S tokens, H hidden elements.
"""

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import TOKEN_LOGITS_OUTPUT, pooled_output
from triptych_models import architectures as names
from triptych_models.config import MAX_DISTANCE, EncoderConfig
from triptych_models.weights import Tensors

Wide = NDArray[np.float64]
Ids = NDArray[np.int32]
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


ACTIVATIONS: dict[str, Callable[[Wide], Wide]] = {
    "none": np.asarray,
    "gelu": gelu,
    "gelu_new": gelu_new,
    "relu": relu,
    "tanh": np.tanh,
}


class ReferenceEncoder:
    """An encoder's forward pass for one text or pair."""

    def __init__(self, tensors: Tensors, config: EncoderConfig) -> None:
        self._tables = tensors
        # a vocabulary's table can be most of a model, and few of its rows are read
        self._tensors = {
            name: array.astype(np.float64)
            for name, array in tensors.items()
            if "embeddings." not in name or "LayerNorm" in name
        }
        self._config = config
        self._names = config.architecture.names

    def hidden_states(self, input_ids: Ids, token_type_ids: Ids | None = None) -> Wide:
        """The last layer's states [S, H] of the ids [S], all of token type 0 by default."""
        states = self._embeddings(input_ids, token_type_ids)
        bias = self._relative_bias(len(input_ids))
        for index in range(self._config.layers):
            states = self._layer(f"{self._config.architecture.layers}.{index}", states, bias)
        return states

    def classify(self, vector: Wide) -> Wide:
        """The logits [labels] of a whole input, from the vector [H] that its head reads."""
        values = vector
        for dense in self._config.classifier:
            values = ACTIVATIONS[dense.activation](self._linear(dense.name, values))
        return values

    def classify_tokens(self, states: Wide) -> Wide:
        """The logits [S, labels] of every token."""
        return self._linear(names.CLASSIFIER, states)

    def _embeddings(self, input_ids: Ids, token_type_ids: Ids | None) -> Wide:
        summed = self._row(names.WORDS, input_ids)
        summed = summed + self._row(names.POSITIONS, self._positions(input_ids))
        if self._config.token_types:
            types = np.zeros_like(input_ids) if token_type_ids is None else token_type_ids
            summed = summed + self._row(names.TOKEN_TYPES, types)
        states = self._norm(names.EMBEDDING_NORM, summed)
        if self._config.embedding_size == self._config.hidden_size:
            return states
        return self._linear(names.PROJECTION, states)

    def _positions(self, input_ids: Ids) -> NDArray[np.int64]:
        """The position of each token."""
        padding = self._config.padding_id
        if padding is None:
            return np.arange(len(input_ids))
        token = (input_ids != padding).astype(np.int64)
        positions: NDArray[np.int64] = padding + np.cumsum(token) * token
        return positions

    def _relative_bias(self, length: int) -> Wide:
        """What is added to the scores of each head, [N, S, S]."""
        if not self._config.relative_buckets:
            return np.zeros((self._config.heads, length, length))
        tokens = range(length)
        buckets = [[self._bucket(key - query) for key in tokens] for query in tokens]
        return self._row(names.RELATIVE_BIAS, np.array(buckets)).transpose(2, 0, 1)

    def _bucket(self, distance: int) -> int:
        half = self._config.relative_buckets // 2
        exact, away = half // 2, abs(distance)
        direction = half if distance > 0 else 0
        if away < exact:
            return direction + away
        growth = math.log(away / exact) / math.log(MAX_DISTANCE / exact)
        return direction + min(half - 1, exact + int(growth * (half - exact)))

    def _layer(self, prefix: str, states: Wide, bias: Wide) -> Wide:
        own = self._names
        context = self._attention(prefix, states, bias)
        attended = self._linear(f"{prefix}.{own.attention_output}", context)
        middle = self._norm(f"{prefix}.{own.attention_norm}", attended + states)
        inner = self._linear(f"{prefix}.{own.intermediate}", middle)
        active = ACTIVATIONS[self._config.activation](inner)
        outer = self._linear(f"{prefix}.{own.output}", active)
        return self._norm(f"{prefix}.{own.output_norm}", outer + middle)

    def _attention(self, prefix: str, states: Wide, bias: Wide) -> Wide:
        """One head after the other."""
        query, key, value = (
            self._linear(f"{prefix}.{role}", states)
            for role in (self._names.query, self._names.key, self._names.value)
        )
        size = self._config.head_size
        contexts = []
        for index in range(self._config.heads):
            head = slice(index * size, (index + 1) * size)
            scores = query[:, head] @ key[:, head].T / math.sqrt(size)
            contexts.append(softmax(scores + bias[index]) @ value[:, head])
        return np.concatenate(contexts, axis=1)

    def _row(self, name: str, index: NDArray[np.integer]) -> Wide:
        rows: Wide = self._tables[f"{name}.weight"][index].astype(np.float64)
        return rows

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


def reference_outputs(
    encoder: ReferenceEncoder, sequences: Sequence[Ids], tokens: bool
) -> Mapping[str, NDArray[np.float32]]:
    """The graph's outputs but the hidden states, for N texts of T tokens in all.

    float32[N, H] for every pooling; with `tokens` also the logits [T, labels].
    """
    rows = []
    for input_ids in sequences:
        states = encoder.hidden_states(input_ids)
        row = {pooled_output(name): vector[None] for name, vector in pool(states).items()}
        if tokens:
            row[TOKEN_LOGITS_OUTPUT] = encoder.classify_tokens(states)
        rows.append(row)
    return {
        name: np.concatenate([row[name] for row in rows]).astype(np.float32) for name in rows[0]
    }
