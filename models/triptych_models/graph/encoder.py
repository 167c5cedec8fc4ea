"""An encoder in plain operators: embeddings, then attention and feed-forward layers.

Values are float32; B texts, S tokens, H hidden elements, N heads of D elements. Queries, keys and
values come from one matrix product, and the scores' scale is folded into the queries' weights.
"""

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from triptych_models.config import EncoderConfig
from triptych_models.graph.activations import ACTIVATIONS
from triptych_models.graph.builder import GraphBuilder
from triptych_models.graph.positions import positions, relative_bias
from triptych_models.weights import EncoderWeights, Layer, Linear, Norm

# far below any score, yet far from overflow: its exponential is exactly zero
MASKED_SCORE = -1e9


Product: TypeAlias = Callable[[GraphBuilder, str, Linear, str], str]
"""Adds a matrix product with its bias to a graph, as `add_linear` does: graph, name, weights, value
in; value out."""


class EncoderGraph:
    """Adds an encoder to a graph; how its matrix products are computed is the caller's choice."""

    def __init__(self, graph: GraphBuilder, config: EncoderConfig, product: Product) -> None:
        self._graph = graph
        self._config = config
        self._product = product

    def hidden_states(
        self, weights: EncoderWeights, input_ids: str, token_type_ids: str, mask: str, name: str
    ) -> str:
        """The last layer's states [B, S, H]; `mask` is float32[B, S], 1 for a token.

        Token types are not read where the weights have none.
        """
        bias = self._attention_bias(weights, input_ids, mask)
        states = self._embeddings(weights, input_ids, token_type_ids)
        for index, layer in enumerate(weights.layers):
            output = name if index == len(weights.layers) - 1 else f"layer.{index}"
            states = self._layer(f"layer.{index}", layer, states, bias, output)
        return states

    def _attention_bias(self, weights: EncoderWeights, input_ids: str, mask: str) -> str:
        """[B, 1, 1, S]: zero for a token, MASKED_SCORE for padding.

        [B, N, S, S] where the distance of two tokens counts too.
        """
        add, number = self._graph.add, self._graph.number
        padding = add("Sub", number(1), mask, name="bias.padding")
        scores = add("Mul", padding, number(MASKED_SCORE), name="bias.scores")
        bias = add("Unsqueeze", scores, self._graph.integers(1, 2), name="bias")
        if weights.relative_bias is None:
            return bias
        distance = relative_bias(self._graph, weights.relative_bias, input_ids, self._config)
        return add("Add", bias, distance, name="bias.total")

    def _embeddings(self, weights: EncoderWeights, input_ids: str, token_type_ids: str) -> str:
        add, table = self._graph.add, self._graph.constant
        words = table("embeddings.word_table", weights.words)
        tokens, kind = add("Gather", words, input_ids, name="embeddings.words"), ""
        if weights.token_types is not None:
            types = table("embeddings.type_table", weights.token_types)
            kind = add("Gather", types, token_type_ids, name="embeddings.types")
        position = positions(self._graph, weights.positions, input_ids, self._config)
        if kind:
            tokens = add("Add", tokens, kind, name="embeddings.tokens")
        summed = add("Add", tokens, position, name="embeddings.sum")
        normal = self._norm("embeddings.norm", weights.embedding_norm, summed)
        if weights.projection is None:
            return normal
        return self._linear("embeddings.projection", weights.projection, normal)

    def _layer(self, name: str, layer: Layer, states: str, bias: str, output: str) -> str:
        add = self._graph.add
        context = self._attention(name, layer, states, bias)
        attended = self._linear(f"{name}.attention_output", layer.attention_output, context)
        first = add("Add", attended, states, name=f"{name}.attention_sum")
        middle = self._norm(f"{name}.attention_norm", layer.attention_norm, first)
        inner = self._linear(f"{name}.intermediate", layer.intermediate, middle)
        active = ACTIVATIONS[self._config.activation](self._graph, inner)
        outer = self._linear(f"{name}.output", layer.output, active)
        second = add("Add", outer, middle, name=f"{name}.output_sum")
        return self._norm(f"{name}.output_norm", layer.output_norm, second, output)

    def _attention(self, name: str, layer: Layer, states: str, bias: str) -> str:
        """softmax(Q·Kᵀ + bias)·V of every head, side by side again: [B, S, H]."""
        add, integers = self._graph.add, self._graph.integers
        merged = self._linear(f"{name}.qkv", merge_qkv(layer, self._config.head_size), states)
        query, key, value = self._graph.add_split(merged, 3, axis=2)
        scores = add(
            "MatMul", self._heads(query), self._heads(key, keys=True), name=f"{name}.scores"
        )
        biased = add("Add", scores, bias, name=f"{name}.biased")
        shares = add("Softmax", biased, name=f"{name}.shares", axis=-1)
        context = add("MatMul", shares, self._heads(value), name=f"{name}.context")
        rows = add("Transpose", context, name=f"{name}.context_rows", perm=[0, 2, 1, 3])
        shape = integers(0, 0, self._config.hidden_size)
        return add("Reshape", rows, shape, name=f"{name}.context_states")

    def _heads(self, value: str, keys: bool = False) -> str:
        """[B, S, H] as [B, N, S, D], or as [B, N, D, S] for keys."""
        shape = self._graph.integers(0, 0, self._config.heads, self._config.head_size)
        split = self._graph.add("Reshape", value, shape, name=f"{value}.split")
        order = [0, 2, 3, 1] if keys else [0, 2, 1, 3]
        return self._graph.add("Transpose", split, name=f"{value}.heads", perm=order)

    def _linear(self, name: str, linear: Linear, value: str) -> str:
        return self._product(self._graph, name, linear, value)

    def _norm(self, name: str, norm: Norm, value: str, output: str = "") -> str:
        constant = self._graph.constant
        scale = constant(f"{name}.scale", norm.scale)
        shift = constant(f"{name}.shift", norm.shift)
        epsilon = self._config.layer_norm_epsilon
        return self._graph.add(
            "LayerNormalization", value, scale, shift, name=output or name, axis=-1, epsilon=epsilon
        )


def add_linear(graph: GraphBuilder, name: str, linear: Linear, value: str) -> str:
    """value @ kernel + bias, called `name`."""
    kernel = graph.constant(f"{name}.kernel", linear.kernel)
    product = graph.add("MatMul", value, kernel, name=f"{name}.product")
    return graph.add("Add", product, graph.constant(f"{name}.bias", linear.bias), name=name)


def merge_qkv(layer: Layer, head_size: int) -> Linear:
    """One [H, 3·H] projection, the queries already divided by √D."""
    scale = np.float32(1 / math.sqrt(head_size))
    kernels = (layer.query.kernel * scale, layer.key.kernel, layer.value.kernel)
    biases = (layer.query.bias * scale, layer.key.bias, layer.value.bias)
    return Linear(np.concatenate(kernels, axis=1), np.concatenate(biases))
