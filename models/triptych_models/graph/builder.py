"""Collects the nodes and constants of an ONNX graph."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TypeAlias

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from triptych_models.errors import UnsupportedModel

# both pinned: a graph's bytes, and so a bundle's digest, must not change with the onnx release
OPSET = 17
IR_VERSION = 8
# onnxruntime's own operators, of which there has only ever been one version
CONTRIB = "com.microsoft"
CONTRIB_VERSION = 1
# what protobuf writes into one file is less than 2 GiB; the nodes of a graph are far below the rest
MAX_CONSTANT_BYTES = (1 << 31) - (1 << 24)

Attribute: TypeAlias = int | float | str | Sequence[int]


class GraphBuilder:
    """Each method adds to the graph and returns the name of the value that it made."""

    def __init__(self, max_constant_bytes: int = MAX_CONSTANT_BYTES) -> None:
        self._max_constant_bytes = max_constant_bytes
        self._constant_bytes = 0
        self._nodes: list[onnx.NodeProto] = []
        self._constants: dict[str, onnx.TensorProto] = {}

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        """Store a named array; UnsupportedModel where all of them are too large for one file."""
        self._constant_bytes += 0 if name in self._constants else array.nbytes
        if self._constant_bytes > self._max_constant_bytes:
            limit = f"{self._max_constant_bytes / 1e9:.1f} GB"
            raise UnsupportedModel(
                f"the weights in float32 are more than {limit}, the file's limit"
            )
        # not np.ascontiguousarray: it turns 0-d into 1-d, and Gather then keeps an axis
        self._constants[name] = numpy_helper.from_array(np.asarray(array, order="C"), name)
        return name

    def integers(self, *values: int) -> str:
        """A shared int64[n] constant, for shapes and axes."""
        name = "int64." + "_".join(str(value) for value in values)
        return self.constant(name, np.array(values, np.int64))

    def number(self, value: float) -> str:
        """A shared float32 scalar."""
        return self.constant(f"float32.{value!r}", np.array(value, np.float32))

    def add(
        self, operator: str, *inputs: str, name: str, domain: str = "", **attributes: Attribute
    ) -> str:
        """Append a node whose only output is called `name`; an input "" is left out."""
        node = helper.make_node(operator, inputs, [name], f"{name}:{operator}")
        if domain:  # set though empty, it would be written
            node.domain = domain
        node.attribute.extend(helper.make_attribute(*pair) for pair in sorted(attributes.items()))
        self._nodes.append(node)
        return name

    def add_split(self, value: str, count: int, axis: int) -> list[str]:
        """Append a Split of a value into equal parts."""
        parts = [f"{value}.{index}" for index in range(count)]
        self._nodes.append(helper.make_node("Split", [value], parts, f"{value}:Split", axis=axis))
        return parts

    def model(
        self,
        inputs: Sequence[onnx.ValueInfoProto],
        outputs: Sequence[onnx.ValueInfoProto],
        metadata: Mapping[str, str] = MappingProxyType({}),
    ) -> onnx.ModelProto:
        """The finished model, checked as far as its operators are ONNX's own."""
        constants = list(self._constants.values())
        graph = helper.make_graph(self._nodes, "encoder", inputs, outputs, constants)
        model = helper.make_model(graph, opset_imports=self._opsets(), producer_name="triptych")
        model.ir_version = IR_VERSION
        helper.set_model_props(model, dict(metadata))
        onnx.checker.check_model(model, full_check=True)
        return model

    def _opsets(self) -> list[onnx.OperatorSetIdProto]:
        versions = {"": OPSET, CONTRIB: CONTRIB_VERSION}
        used = {"", *(node.domain for node in self._nodes)}
        return [helper.make_opsetid(domain, versions[domain]) for domain in sorted(used)]


def integer_input(name: str, *shape: str | int) -> onnx.ValueInfoProto:
    """An int32 input; strings are dynamic axes, [batch, sequence] where no shape is given."""
    return helper.make_tensor_value_info(name, TensorProto.INT32, shape or ("batch", "sequence"))


def float_output(
    name: str, *shape: str | int, kind: int = TensorProto.FLOAT
) -> onnx.ValueInfoProto:
    """An output of floating type, float32 by default; strings are dynamic axes."""
    return helper.make_tensor_value_info(name, kind, shape)
