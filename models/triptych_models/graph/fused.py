"""An encoder in the fused operators that onnxruntime has for a GPU.

Values have the graph's floating type, float16 for a GPU. T tokens, H hidden elements, N heads of D
elements; the tokens are one axis of a packed graph, two of a padded one.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from triptych_models.config import EncoderConfig
from triptych_models.errors import UnsupportedModel
from triptych_models.graph.builder import CONTRIB, GraphBuilder
from triptych_models.weights import EncoderWeights, Layer, Linear, Norm

Attend = Callable[["FusedGraph", str, Layer, str], str]
"""From the graph, a layer's name, its weights and states to the heads' contexts side by side."""
# each adds the bias first
_BIASED = {"gelu": "BiasGelu", "gelu_new": "FastGelu"}


class FusedGraph:
    """Adds an encoder, of floating type `kind`, to a graph."""

    def __init__(
        self, graph: GraphBuilder, config: EncoderConfig, kind: type[np.floating], attend: Attend
    ) -> None:
        self._graph = graph
        self._config = config
        self._kind = kind
        self._attend = attend

    def constant(self, name: str, array: NDArray[np.floating]) -> str:
        """An array in the graph's floating type; UnsupportedModel where that cannot hold it."""
        if np.abs(array).max(initial=0) > np.finfo(self._kind).max:
            raise UnsupportedModel(f"{name} holds numbers beyond {np.dtype(self._kind)}")
        return self._graph.constant(name, array.astype(self._kind))

    def hidden_states(self, weights: EncoderWeights, name: str) -> str:
        """The last layer's states; reads `input_ids`, `position_ids`, `token_type_ids` if any."""
        states = self._embeddings(weights)
        for index, layer in enumerate(weights.layers):
            output = name if index == len(weights.layers) - 1 else f"layer.{index}"
            states = self._layer(f"layer.{index}", layer, states, output)
        return states

    def linear(self, name: str, linear: Linear, value: str) -> str:
        """value @ kernel + bias, called `name`."""
        product = self.product(name, linear, value)
        return self._graph.add(
            "Add", product, self.constant(f"{name}.bias", linear.bias), name=name
        )

    def product(self, name: str, linear: Linear, value: str) -> str:
        """value @ kernel; the bias is added elsewhere."""
        kernel = self.constant(f"{name}.kernel", linear.kernel)
        return self._graph.add("MatMul", value, kernel, name=f"{name}.product")

    def _embeddings(self, weights: EncoderWeights) -> str:
        tokens = self._rows("word", weights.words, "input_ids")
        if weights.token_types is not None:
            types = self._rows("type", weights.token_types, "token_type_ids")
            tokens = self._graph.add("Add", tokens, types, name="embeddings.tokens")
        places = self._rows("position", weights.positions, "position_ids")
        normal = self._sum_norm("embeddings.norm", weights.embedding_norm, tokens, places)
        if weights.projection is None:
            return normal
        return self.linear("embeddings.projection", weights.projection, normal)

    def _rows(self, what: str, table: NDArray[np.float32], ids: str) -> str:
        rows = self.constant(f"embeddings.{what}_table", table)
        return self._graph.add("Gather", rows, ids, name=f"embeddings.{what}")

    def _layer(self, name: str, layer: Layer, states: str, output: str) -> str:
        context = self._attend(self, name, layer, states)
        middle = self._residual(f"{name}.attention", layer.attention_output, context, states,
                                layer.attention_norm, f"{name}.attention_norm")  # fmt: skip
        active = self._activation(f"{name}.intermediate", layer.intermediate, middle)
        return self._residual(f"{name}.output", layer.output, active, middle,
                              layer.output_norm, output)  # fmt: skip

    def _residual(
        self, name: str, linear: Linear, value: str, states: str, norm: Norm, output: str
    ) -> str:
        """norm(states + value @ kernel + bias), where one operator does all but the product."""
        product = self.product(name, linear, value)
        return self._sum_norm(f"{name}_norm", norm, product, states, linear.bias, output)

    def _sum_norm(
        self,
        name: str,
        norm: Norm,
        value: str,
        states: str,
        bias: NDArray[np.float32] | None = None,
        output: str = "",
    ) -> str:
        scale = self.constant(f"{name}.scale", norm.scale)
        shift = self.constant(f"{name}.shift", norm.shift)
        biases = () if bias is None else (self.constant(f"{name}.bias", bias),)
        inputs = (value, states, scale, shift, *biases)
        epsilon = self._config.layer_norm_epsilon
        return self._graph.add(
            "SkipLayerNormalization", *inputs, name=output or name, domain=CONTRIB, epsilon=epsilon
        )

    def _activation(self, name: str, linear: Linear, value: str) -> str:
        product = self.product(name, linear, value)
        bias = self.constant(f"{name}.bias", linear.bias)
        if (fused := _BIASED.get(self._config.activation)) is not None:
            return self._graph.add(fused, product, bias, name=name, domain=CONTRIB)
        biased = self._graph.add("Add", product, bias, name=f"{name}.biased")
        return self._graph.add("Relu", biased, name=name)
