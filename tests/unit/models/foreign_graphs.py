"""Small graphs as exporters write them, and what they compute, in numpy.

A token's state is its embedding plus the mean of its text's embeddings, so that padding shows where
it is not left out.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

HIDDEN, LABELS = 8, 3
LABEL_NAMES = {"0": "person", "1": "place", "2": "thing"}
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Foreign:
    """What may differ between exporters; `outputs` are 3-d `states`, `tags`, and 2-d `classes`."""

    vocab_size: int
    outputs: dict[str, str] = field(default_factory=lambda: {"last_hidden_state": "states"})
    inputs: tuple[str, ...] = ("input_ids", "attention_mask")
    input_type: int = TensorProto.INT64
    axes: tuple[str | int, ...] = ("batch", "sequence")
    opset: int = 17
    ir_version: int = 8
    positions: int = 64
    ignores_padding: bool = True

    def table(self) -> Floats:
        return np.random.default_rng(3).normal(0, 1, (self.vocab_size, HIDDEN)).astype("f4")

    def kernel(self) -> Floats:
        return np.random.default_rng(4).normal(0, 1, (HIDDEN, LABELS)).astype("f4")

    def model(self) -> onnx.ModelProto:
        graph = helper.make_graph(self._nodes(), "foreign", self._inputs(), self._outputs())
        stored = {"table": self.table(), "kernel": self.kernel()}
        stored |= {"as_row": np.array([0, 1, -1]), "as_column": np.array([0, -1, 1])}
        stored |= {"flat": np.array([0, -1]), "places": np.zeros((self.positions, 1), "f4")}
        stored |= {"zero": np.array([0]), "one": np.array([1]), "two": np.array([2])}
        graph.initializer.extend(numpy_helper.from_array(*pair[::-1]) for pair in stored.items())
        if self.ir_version < 4:  # weights were inputs with a value then
            kinds = [(tensor.name, tensor.data_type, tensor.dims) for tensor in graph.initializer]
            graph.input.extend(helper.make_tensor_value_info(*kind) for kind in kinds)
        opset = helper.make_opsetid("", self.opset)
        model = helper.make_model(graph, opset_imports=[opset], producer_name="exporter")
        model.ir_version = self.ir_version
        return model

    def states(self, ids: Sequence[int]) -> Floats:
        """[S, HIDDEN] of one text."""
        rows = self.table()[list(ids)]
        found: Floats = rows + rows.mean(axis=0)
        return found

    def _nodes(self) -> list[onnx.NodeProto]:
        node = helper.make_node
        nodes = [
            node("Cast", ["attention_mask"], ["given_mask"], to=TensorProto.FLOAT),
            node("Mul", ["given_mask", "given_mask"], ["mask"])
            if self.ignores_padding
            else node("Exp", ["no_mask"], ["mask"]),
            node("Gather", ["table", "input_ids"], ["words"]),
            # fails for texts that there are no positions for, as tables of positions do
            node("Shape", ["input_ids"], ["shape"]),
            node("Slice", ["shape", "one", "two", "zero"], ["length"]),
            node("Sub", ["length", "one"], ["last"]),
            node("Gather", ["places", "last"], ["place"]),
            node("Add", ["words", "place"], ["embedded"]),
            node("Reshape", ["mask", "as_row"], ["row"]),
            node("Reshape", ["mask", "as_column"], ["column"]),
            node("MatMul", ["row", "embedded"], ["total"]),
            node("MatMul", ["row", "column"], ["count"]),
            node("Div", ["total", "count"], ["mean"]),
            node("Add", ["embedded", "mean"], ["states"]),
            node("MatMul", ["states", "kernel"], ["tags"]),
            node("MatMul", ["mean", "kernel"], ["class_row"]),
            node("Reshape", ["class_row", "flat"], ["classes"]),
        ]
        if not self.ignores_padding:
            nodes.insert(1, node("Sub", ["given_mask", "given_mask"], ["no_mask"]))
        return nodes + [node("Identity", [value], [name]) for name, value in self.outputs.items()]

    def _inputs(self) -> list[onnx.ValueInfoProto]:
        make = helper.make_tensor_value_info
        return [make(name, self.input_type, self.axes) for name in self.inputs]

    def _outputs(self) -> list[onnx.ValueInfoProto]:
        shapes: dict[str, list[str | int]] = {
            "states": ["batch", "sequence", HIDDEN],
            "tags": ["batch", "sequence", LABELS],
            "classes": ["batch", LABELS],
            "mask": ["batch", "sequence"],
        }
        make = helper.make_tensor_value_info
        return [make(name, TensorProto.FLOAT, shapes[of]) for name, of in self.outputs.items()]


def write(
    write_model: Callable[..., Path], where: str = "model.onnx", **changes: Any
) -> tuple[Path, Foreign]:
    """A folder with a tokenizer, a config and a foreign graph."""
    config = {"model_type": "modernbert", "id2label": LABEL_NAMES}
    folder = write_model("Foreign Model", **(config | changes.pop("config", {})))
    (folder / "model.safetensors").unlink()
    tokenizer = json.loads((folder / "tokenizer.json").read_text())
    foreign = Foreign(len(tokenizer["model"]["vocab"]), **changes)
    (folder / where).parent.mkdir(exist_ok=True)
    onnx.save(foreign.model(), str(folder / where))
    return folder, foreign
