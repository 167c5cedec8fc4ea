"""What cannot be imported is refused in one line that says why, and leaves nothing behind."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.unit.models.foreign_graphs import HIDDEN, Foreign, write
from triptych_models.__main__ import main
from triptych_models.importing.checks import MAX_IR_VERSION, MAX_OPSET

WriteModel = Callable[..., Path]
Output = pytest.CaptureFixture[str]
Change = Callable[[onnx.ModelProto], object]


def refused(folder: Path, capsys: Output, *more: str) -> str:
    root = folder.parent / "repository"
    assert main(["import", str(folder), "--repository", str(root), *more]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("triptych-models: ")
    assert not list(root.glob("*/*"))
    return error


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"opset": 10}, "opset 10 is not supported, only 11 to 28"),
        ({"opset": MAX_OPSET + 1}, "opset 29 is not supported, only 11 to 28"),
        ({"ir_version": MAX_IR_VERSION + 1}, "IR version 15 is not supported, only 1 to 14"),
        ({"axes": (1, "sequence")}, "input input_ids has a fixed batch axis of 1"),
        ({"axes": ("batch", 128)}, "input input_ids has a fixed sequence axis of 128"),
        ({"axes": ("batch",)}, "input input_ids must have two axes"),
        ({"input_type": TensorProto.FLOAT}, "input input_ids must be int32 or int64"),
        ({"outputs": {"given": "mask"}}, "neither states [batch, sequence, hidden] nor logits"),
        ({"positions": 20}, "the graph does not run 1 texts of up to 40 tokens"),
        ({"ignores_padding": False}, "in mixed batches: worst cosine"),
        ({"config": {"vocab_size": 4000}}, "does not run 1 texts of up to 40 tokens"),
        ({"config": {"vocab_size": None}}, "vocab_size in config.json must be"),
        ({"config": {"max_position_embeddings": None}}, "no length of text: give --max-length"),
        ({"config": {"max_position_embeddings": 2}}, "must be between 3"),
        (
            {"outputs": {"logits": "tags"}, "config": {"id2label": {"0": "a", "1": "b"}}},
            "config.json names 2 classes, the graph gives 3 logits",
        ),
        (
            {"outputs": {"logits": "tags"}, "config": {"id2label": {"0": "a", "1": "a"}}},
            "gives two classes the same name",
        ),
        (
            {"outputs": {"logits": "classes"}, "config": {"problem_type": "ranking"}},
            "problem_type 'ranking' is not supported",
        ),
    ],
)
def test_graphs_and_configs(
    write_model: WriteModel, capsys: Output, changes: dict[str, Any], reason: str
) -> None:
    assert reason in refused(write(write_model, **changes)[0], capsys)


def changed(folder: Path, change: Change) -> None:
    path = str(folder / "model.onnx")
    model = onnx.load(path)
    change(model)
    onnx.save(model, path)


def add_input(model: onnx.ModelProto) -> None:
    value = helper.make_tensor_value_info("position_ids", TensorProto.INT64, ["b", "s"])
    model.graph.input.append(value)


def no_mask(model: onnx.ModelProto) -> None:
    del model.graph.input[1]


def custom_operator(model: onnx.ModelProto) -> None:
    node = helper.make_node("Pack", ["states"], ["packed"], domain="acme.ops")
    model.graph.node.append(node)
    model.opset_import.append(helper.make_opsetid("acme.ops", 1))


def half_precision(model: onnx.ModelProto) -> None:
    half = numpy_helper.from_array(np.zeros((HIDDEN, 3), np.float16), "half")
    model.graph.initializer.append(half)


def half_output(model: onnx.ModelProto) -> None:
    output = model.graph.output[0]
    cast = helper.make_node("Cast", [output.name], ["halved"], to=TensorProto.FLOAT16)
    model.graph.node.append(cast)
    output.CopyFrom(helper.make_tensor_value_info("halved", TensorProto.FLOAT16, [None] * 3))


def taken_name(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Identity", ["states"], ["pooled.mean"]))


def missing_value(model: onnx.ModelProto) -> None:
    model.graph.node[0].input[0] = "nowhere"


def unknown_operator(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Unheard", ["states"], ["x"], domain="com.microsoft"))
    model.opset_import.append(helper.make_opsetid("com.microsoft", 1))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (add_input, "the graph has an input 'position_ids', the encoder feeds only: input_ids"),
        (no_mask, "the graph has no input attention_mask"),
        (custom_operator, "operator Pack of acme.ops is not one of onnxruntime's"),
        (half_precision, "the graph is in half precision"),
        (half_output, "output halved is float16, not float32"),
        (taken_name, "the graph has a value by the name of an output of Triptych's"),
        (missing_value, "the graph is not valid ONNX"),
        (unknown_operator, "onnxruntime cannot load it"),
    ],
)
def test_changed_graphs(
    write_model: WriteModel, capsys: Output, change: Change, reason: str
) -> None:
    folder, _ = write(write_model)
    changed(folder, change)
    assert reason in refused(folder, capsys)


@pytest.mark.parametrize("content", [b"", b"not an ONNX file", b"\x08\x07"])
def test_a_file_that_is_no_graph(write_model: WriteModel, capsys: Output, content: bytes) -> None:
    folder, _ = write(write_model)
    (folder / "model.onnx").write_bytes(content)
    assert "model.onnx: is not an ONNX file" in refused(folder, capsys)


def test_a_truncated_graph(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-100])
    assert "model.onnx" in refused(folder, capsys)


@pytest.mark.parametrize("missing", ["model.onnx", "tokenizer.json", "config.json"])
def test_missing_files(write_model: WriteModel, capsys: Output, missing: str) -> None:
    folder, _ = write(write_model)
    (folder / missing).unlink()
    assert missing in refused(folder, capsys)


def test_several_graphs(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    (folder / "model.onnx").rename(folder / "a.onnx")
    (folder / "b.onnx").write_bytes(b"")
    assert "holds 2 ONNX files and no model.onnx: name one" in refused(folder, capsys)


def test_a_tokenizer_of_another_model(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model, config={"vocab_size": 10})
    assert "is beyond vocab_size 10" in refused(folder, capsys)


def external(folder: Path, location: str, **span: int) -> None:
    """Move the table's data out to a file."""

    def move(model: onnx.ModelProto) -> None:
        tensor = next(each for each in model.graph.initializer if each.name == "table")
        tensor.ClearField("raw_data")
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in ({"location": location} | span).items():
            tensor.external_data.add(key=key, value=str(value))

    path = folder / "model.onnx"
    model = onnx.load(str(path))
    move(model)
    path.write_bytes(model.SerializeToString())


@pytest.mark.parametrize("location", ["../secret", "/etc/passwd", "a/../../secret", ""])
def test_external_data_outside_of_the_folder(
    write_model: WriteModel, capsys: Output, location: str
) -> None:
    folder, _ = write(write_model)
    (folder.parent / "secret").write_bytes(bytes(100_000))
    external(folder, location)
    assert "is not a plain path below the model's folder" in refused(folder, capsys)


def test_external_data_behind_a_link(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    (folder.parent / "secret").write_bytes(bytes(100_000))
    (folder / "weights").symlink_to(folder.parent / "secret")
    external(folder, "weights")
    assert "leads out of the model's folder" in refused(folder, capsys)


@pytest.mark.parametrize(
    ("span", "reason"),
    [
        ({"offset": -1}, "no sound offset and length"),
        ({"offset": 10**9}, "no sound offset and length"),
        ({"length": 1 << 20}, "is truncated: it ends within 'table'"),
        ({"length": 1 << 40}, "the graph has over 2147483647 bytes"),
        ({"length": 16}, "triptych-models: "),
    ],
)
def test_external_data_of_the_wrong_size(
    write_model: WriteModel, capsys: Output, span: dict[str, int], reason: str
) -> None:
    folder, _ = write(write_model)
    (folder / "weights").write_bytes(bytes(4096))
    external(folder, "weights", **span)
    assert reason in refused(folder, capsys)


def test_missing_external_data(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    external(folder, "weights")
    assert "external data of the model is missing" in refused(folder, capsys)


def test_a_graph_over_the_limit_is_not_read(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    os.truncate(folder / "model.onnx", 1 << 31)  # a hole: it takes no space
    assert "at most 2147483647 are read" in refused(folder, capsys)


def test_lengths_and_names_that_are_asked_for(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    assert "between 3 and 40" in refused(folder, capsys, "--max-length", "41")
    assert "between 3 and 40" in refused(folder, capsys, "--max-length", "0")
    assert "cannot name a bundle" in refused(folder, capsys, "--name", "../x")


def identity(opset: int, ir_version: int) -> bytes:
    """Nothing but one node: what the runtime says of it, it says of the versions."""
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in "xy"]
    node = helper.make_node("Identity", ["x"], ["y"])
    graph = helper.make_graph([node], "g", values[:1], values[1:])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)])
    model.ir_version = ir_version
    return bytes(model.SerializeToString())


def loads(content: bytes) -> bool:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception:  # the runtime's own errors share no narrower class
        return False
    return True


def test_the_versions_are_those_of_the_runtime() -> None:
    assert loads(identity(MAX_OPSET, MAX_IR_VERSION))
    assert not loads(identity(MAX_OPSET + 1, MAX_IR_VERSION))
    assert not loads(identity(MAX_OPSET, MAX_IR_VERSION + 1))


def test_a_config_that_is_no_object(write_model: WriteModel, capsys: Output) -> None:
    folder, _ = write(write_model)
    (folder / "config.json").write_text(json.dumps([1]))
    assert "config.json: must hold a JSON object" in refused(folder, capsys)


def test_the_foreign_graph_itself_is_sound() -> None:
    assert loads(Foreign(10).model().SerializeToString())
