"""Gives an imported graph the outputs that Triptych serves: renamed, and its states pooled.

The nodes that are added mean the same in every opset from 11 on: axes are given by reshaping, since
the operators that take them as inputs took them as attributes before opset 13; and constants are
nodes, since weights had to be inputs too before IR version 4.
"""

from collections.abc import Mapping

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from triptych_bundles import HIDDEN_OUTPUT, LOGITS_OUTPUT, POOLINGS, pooled_output
from triptych_models.errors import UnsupportedModel

_PREFIX = "triptych."


def serving_graph(
    model: onnx.ModelProto, sources: Mapping[str, str], widths: Mapping[str, int]
) -> onnx.ModelProto:
    """A copy with the outputs of `sources`, name here by name there, and pooled states.

    `widths` are the numbers a row of each. UnsupportedModel where a name is taken by another value.
    """
    made = onnx.ModelProto()
    made.CopyFrom(model)
    _check_names(made, sources)
    graph = made.graph
    del graph.output[:]
    for name, source in sources.items():
        if name != source:
            graph.node.append(helper.make_node("Identity", [source], [name], f"{_PREFIX}{name}"))
        graph.output.append(_output(name, widths[name]))
    if HIDDEN_OUTPUT in sources:
        _Pooling(graph).add()
        graph.output.extend(
            _output(pooled_output(pooling), widths[HIDDEN_OUTPUT]) for pooling in POOLINGS
        )
    return made


def _output(name: str, width: int) -> onnx.ValueInfoProto:
    rows = (
        ["batch"] if name == LOGITS_OUTPUT or name.startswith("pooled.") else ["batch", "sequence"]
    )
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [*rows, width])


def _check_names(model: onnx.ModelProto, sources: Mapping[str, str]) -> None:
    wanted = {name for name, source in sources.items() if name != source}
    wanted |= set(map(pooled_output, POOLINGS))
    for node in model.graph.node:
        for value in node.output:
            if value in wanted or value.startswith(_PREFIX):
                reason = "has a value by the name of an output of Triptych's"
                raise UnsupportedModel(f"the graph {reason}: {value!r}")


class _Pooling:
    """B texts of S tokens, H hidden elements; texts are padded on the right."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._graph = graph

    def add(self) -> None:
        """Every pooling, as graph.pooling does it in compiled graphs."""
        mask = self._add("Cast", "attention_mask", name="mask", to=TensorProto.FLOAT)
        row = self._add("Reshape", mask, self._integers("as_row", 0, 1, -1), name="row")
        column = self._add("Reshape", mask, self._integers("as_column", 0, -1, 1), name="column")
        # the mask is zeros and ones, so its product with itself counts the ones: [B, 1, 1]
        count = self._add("MatMul", row, column, name="count")
        self._cls()
        self._mean(row, count)
        self._last_token(count)

    def _cls(self) -> None:
        first = self._constant("first", np.array(0, np.int64))
        self._add("Gather", HIDDEN_OUTPUT, first, output=pooled_output("cls"), axis=1)

    def _mean(self, row: str, count: str) -> None:
        total = self._add("MatMul", row, HIDDEN_OUTPUT, name="total")
        # a row that is all padding must not become NaN
        one = self._constant("one", np.array(1, np.float32))
        divisor = self._add("Max", count, one, name="divisor")
        mean = self._add("Div", total, divisor, name="mean")
        self._flat(mean, "mean")

    def _last_token(self, count: str) -> None:
        """The state whose position is one less than the number of tokens."""
        add = self._add
        one = self._constant("one_less", np.array(1, np.float32))
        position = add("Sub", count, one, name="last_position")
        index = add("Cast", position, name="last_index", to=TensorProto.INT64)
        flat = add("Reshape", index, self._integers("as_index", -1), name="last")
        length = add("Shape", "attention_mask", name="shape")
        axis = self._constant("axis", np.array(1, np.int64))
        depth = add("Gather", length, axis, name="length", axis=0)
        values = self._constant("off_and_on", np.array([0, 1], np.float32))
        picked = add("OneHot", flat, depth, values, name="picked")
        row = add("Reshape", picked, self._integers("as_pick", 0, 1, -1), name="pick")
        self._flat(add("MatMul", row, HIDDEN_OUTPUT, name="picked_state"), "last_token")

    def _flat(self, value: str, pooling: str) -> None:
        """[B, 1, H] as [B, H]."""
        shape = self._integers(f"{pooling}_shape", 0, -1)
        self._add("Reshape", value, shape, output=pooled_output(pooling))

    def _integers(self, name: str, *values: int) -> str:
        return self._constant(name, np.array(values, np.int64))

    def _constant(self, name: str, array: NDArray[np.generic]) -> str:
        value = numpy_helper.from_array(array, _PREFIX + name)
        return self._add("Constant", name=name, value=value)

    def _add(
        self,
        operator: str,
        *inputs: str,
        name: str = "",
        output: str = "",
        **attributes: int | onnx.TensorProto,
    ) -> str:
        made = output or _PREFIX + name
        node = helper.make_node(operator, inputs, [made], f"{made}:{operator}", **attributes)
        self._graph.node.append(node)
        return made
