"""What a graph must be for the encoder to feed and run it; a refusal says what stands against it.

The versions are those that the pinned onnxruntime takes, which a test holds them against. The least
opset is the one from which on the operators of the appended pooling mean the same.
"""

from collections.abc import Iterator

import onnx
from onnx import TensorProto

from triptych_models.errors import UnsupportedModel
from triptych_models.importing.contents import nodes, tensors

MIN_OPSET, MAX_OPSET = 11, 28
MAX_IR_VERSION = 14
INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_REQUIRED = INPUTS[:2]
# onnxruntime's own operators on a CPU; of other domains only what the file defines itself
_DOMAINS = ("", "ai.onnx", "ai.onnx.ml", "com.microsoft")
_INTEGERS = (TensorProto.INT32, TensorProto.INT64)
_HALVES = (TensorProto.FLOAT16, TensorProto.BFLOAT16)


def check_graph(model: onnx.ModelProto) -> None:
    """UnsupportedModel for the first thing that does not fit."""
    for reason in _objections(model):
        raise UnsupportedModel(reason)
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        first = str(error).strip().partition("\n")[0]
        raise UnsupportedModel(f"the graph is not valid ONNX: {first}") from None


def graph_inputs(model: onnx.ModelProto) -> list[onnx.ValueInfoProto]:
    """The inputs that have to be fed; old files list their weights among them."""
    stored = {tensor.name for tensor in model.graph.initializer}
    return [value for value in model.graph.input if value.name not in stored]


def _objections(model: onnx.ModelProto) -> Iterator[str]:
    yield from _version_objections(model)
    yield from _domain_objections(model)
    yield from _input_objections(graph_inputs(model))
    if any(tensor.data_type in _HALVES for tensor in tensors(model)):
        yield "the graph is in half precision, which a CPU computes slower: export it in float32"


def _version_objections(model: onnx.ModelProto) -> Iterator[str]:
    if not 1 <= model.ir_version <= MAX_IR_VERSION:
        yield f"IR version {model.ir_version} is not supported, only 1 to {MAX_IR_VERSION}"
    opsets = [entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")]
    for opset in opsets or [0]:
        if not MIN_OPSET <= opset <= MAX_OPSET:
            yield f"opset {opset} is not supported, only {MIN_OPSET} to {MAX_OPSET}"


def _domain_objections(model: onnx.ModelProto) -> Iterator[str]:
    defined = {(function.domain, function.name) for function in model.functions}
    for node in nodes(model):
        if node.domain not in _DOMAINS and (node.domain, node.op_type) not in defined:
            yield f"operator {node.op_type} of {node.domain} is not one of onnxruntime's"


def _input_objections(inputs: list[onnx.ValueInfoProto]) -> Iterator[str]:
    names = [value.name for value in inputs]
    for name in _REQUIRED:
        if name not in names:
            yield f"the graph has no input {name}, without which texts cannot share a batch"
    for value in inputs:
        if value.name not in INPUTS:
            listed = ", ".join(INPUTS)
            yield f"the graph has an input {value.name!r}, the encoder feeds only: {listed}"
        yield from _shape_objections(value)


def _shape_objections(value: onnx.ValueInfoProto) -> Iterator[str]:
    kind = value.type.tensor_type
    if kind.elem_type not in _INTEGERS:
        yield f"input {value.name} must be int32 or int64"
    axes = kind.shape.dim
    if not kind.HasField("shape") or len(axes) != 2:
        yield f"input {value.name} must have two axes, [batch, sequence]"
    for axis, name in zip(axes, ("batch", "sequence"), strict=False):
        if axis.HasField("dim_value"):
            size = axis.dim_value
            yield f"input {value.name} has a fixed {name} axis of {size}: export it dynamic"
