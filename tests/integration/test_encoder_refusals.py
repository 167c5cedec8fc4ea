"""Bundles that may not serve: each is refused by file and reason, and the others serve on."""

import hashlib
import json
import logging
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import grpc.aio
import numpy as np
import onnx
import pytest
import yaml
from onnx import TensorProto, helper, numpy_helper
from tokenizers import Tokenizer, models, pre_tokenizers

from triptych.v1 import encoder_service_pb2 as pb
from triptych.v1 import encoder_service_pb2_grpc as rpc
from triptych.v1 import types_pb2 as types
from triptych_bundles import BundleError, Repository
from triptych_encoder.application import EncoderApplication
from triptych_encoder.cost import CostModel
from triptych_encoder.model import EncoderModel, load_model
from triptych_encoder.runtimes import FP32, Runtimes
from triptych_encoder.settings import EncoderSettings
from triptych_models.__main__ import main
from triptych_servicekit.server import running
from triptych_servicekit.settings import load
from triptych_servicekit.tensors import to_tensor

Spoil = Callable[[Path], object]
WORDS = {word: index for index, word in enumerate(["[UNK]", "good", "morning", "world"])}
VOCABULARY, HIDDEN = len(WORDS), 4
UNKNOWN_OPSET = 99


def write_source(folder: Path) -> None:
    """A model that looks its ids up in a table, as an exporter would write it."""
    folder.mkdir()
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "sequence"])
        for name in ("input_ids", "attention_mask")
    ]
    states = helper.make_tensor_value_info("last_hidden_state", TensorProto.FLOAT, [None] * 3)
    node = helper.make_node("Gather", ["table", "input_ids"], ["last_hidden_state"])
    table = np.random.default_rng(1).normal(size=(VOCABULARY, HIDDEN)).astype("f4")
    weights = [numpy_helper.from_array(table, "table")]
    graph = helper.make_graph([node], "toy", inputs, [states], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, str(folder / "model.onnx"))
    config = {"model_type": "toy", "vocab_size": VOCABULARY, "max_position_embeddings": 64}
    (folder / "config.json").write_text(json.dumps(config))
    tokenizer = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a bundle that may serve."""
    root = tmp_path_factory.mktemp("good")
    write_source(root / "toy")
    repository = root / "repository"
    assert main(["import", str(root / "toy"), "--repository", str(repository)]) == 0
    return repository / "toy" / "1"


def cut(folder: Path) -> None:
    path = folder / "model.onnx"
    path.write_bytes(path.read_bytes()[:-10])


def corrupt(folder: Path) -> None:
    path = folder / "model.onnx"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def manifest(folder: Path, change: Callable[[Any], object]) -> None:
    path = folder / "bundle.yaml"
    values = yaml.safe_load(path.read_text())
    change(values)
    path.write_text(yaml.safe_dump(values, sort_keys=False))


def record(folder: Path, name: str) -> None:
    """Let the manifest pin what a file holds now: its hash then says nothing against it."""
    content = (folder / name).read_bytes()
    facts = {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    manifest(folder, lambda values: values["files"].update({name: facts}))


def graph(change: Callable[[onnx.ModelProto], object]) -> Spoil:
    """Change the graph, hash included."""

    def spoil(folder: Path) -> None:
        path = folder / "model.onnx"
        model = onnx.load(str(path))
        change(model)
        path.write_bytes(model.SerializeToString())
        record(folder, path.name)

    return spoil


def unknown_opset(model: onnx.ModelProto) -> None:
    model.opset_import[0].version = UNKNOWN_OPSET


def unknown_ir(model: onnx.ModelProto) -> None:
    model.ir_version = UNKNOWN_OPSET


def other_weights(model: onnx.ModelProto) -> None:
    table = np.random.default_rng(2).normal(size=(VOCABULARY, HIDDEN)).astype("f4")
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(table, "table"))


def small_table(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(np.ones((1, 4), "f4"), "table"))


def lost_output(model: onnx.ModelProto) -> None:
    kept = [value for value in model.graph.output if value.name != "pooled.mean"]
    del model.graph.output[:]
    model.graph.output.extend(kept)


def foreign_input(model: onnx.ModelProto) -> None:
    model.graph.input.append(helper.make_tensor_value_info("pixels", TensorProto.FLOAT, ["n"]))


def counted_padding(model: onnx.ModelProto) -> None:
    """A pooling that adds what the row is padded with: right alone, wrong beside longer ones."""
    nodes = model.graph.node
    for node in nodes:
        node.output[:] = ["right" if name == "pooled.mean" else name for name in node.output]
    one = numpy_helper.from_array(np.array([1], np.int64), "axis.of.tokens")
    model.graph.initializer.append(one)
    nodes.extend(
        [
            helper.make_node("Cast", ["attention_mask"], ["mask.float"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["mask.float", "axis.of.tokens"], ["real"], keepdims=1),
            helper.make_node("Shape", ["attention_mask"], ["width"], start=1, end=2),
            helper.make_node("Cast", ["width"], ["width.float"], to=TensorProto.FLOAT),
            helper.make_node("Sub", ["width.float", "real"], ["padding"]),
            helper.make_node("Add", ["right", "padding"], ["pooled.mean"]),
        ]
    )


def no_graph(folder: Path) -> None:
    (folder / "model.onnx").write_bytes(b"not a graph")
    record(folder, "model.onnx")


def no_config(folder: Path) -> None:
    (folder / "config.json").write_bytes(b"[")
    record(folder, "config.json")


def wrong_hash(folder: Path) -> None:
    changed = {"sha256": "0" * 64}
    manifest(folder, lambda values: values["files"]["model.onnx"].update(changed))


def escape(name: str) -> Spoil:
    """Let the manifest name a file elsewhere as the graph."""

    def spoil(folder: Path) -> None:
        facts = {"sha256": "0" * 64, "bytes": 1}
        manifest(folder, lambda values: values["files"].update({name: facts}))
        manifest(folder, lambda values: values["graphs"].update({"cpu-fp32": name}))

    return spoil


def link_out(folder: Path) -> None:
    outside = folder.parent.parent / "outside.onnx"
    shutil.move(folder / "model.onnx", outside)
    (folder / "model.onnx").symlink_to(outside)


def no_graph_recorded(folder: Path) -> None:
    manifest(folder, lambda values: values.update({"graphs": {}}))


def admit(**limits: int) -> Spoil:
    """Let the manifest admit more than the graph can run."""
    return lambda folder: manifest(folder, lambda values: values.update(limits))


CASES: dict[str, tuple[Spoil, str, str]] = {
    "truncated": (cut, "model.onnx", "is truncated"),
    "corrupt": (corrupt, "model.onnx", "has the wrong hash"),
    "wrong-hash": (wrong_hash, "model.onnx", "has the wrong hash"),
    "wrong-opset": (graph(unknown_opset), "model.onnx", f"Opset {UNKNOWN_OPSET}"),
    "wrong-ir": (graph(unknown_ir), "model.onnx", f"IR version: {UNKNOWN_OPSET}"),
    "no-graph": (no_graph, "model.onnx", "cannot be opened"),
    "foreign-input": (graph(foreign_input), "model.onnx", "pixels"),
    "lost-output": (graph(lost_output), "model.onnx", "cannot run the golden texts"),
    "unrunnable": (graph(small_table), "model.onnx", "cannot run the golden texts"),
    "other-numbers": (graph(other_weights), "golden-vectors.safetensors", "at cosine"),
    "counted-padding": (graph(counted_padding), "golden-vectors.safetensors", "in a padded batch"),
    "broken-config": (no_config, "config.json", "cannot be read"),
    "missing-graph": (lambda folder: (folder / "model.onnx").unlink(), "model.onnx", "is missing"),
    "missing-golden": (
        lambda folder: (folder / "golden-vectors.safetensors").unlink(),
        "golden-vectors.safetensors",
        "is missing",
    ),
    "missing-manifest": (
        lambda folder: (folder / "bundle.yaml").unlink(),
        "bundle.yaml",
        "cannot be read",
    ),
    "broken-manifest": (
        lambda folder: (folder / "bundle.yaml").write_text("{"),
        "bundle.yaml",
        "is not valid YAML",
    ),
    "greater-ids": (admit(vocab_size=100), "model.onnx", "cannot run 64 tokens of the id 99"),
    "no-variant": (no_graph_recorded, "no-variant", "has no cpu-fp32 graph"),
    "path-up": (escape("../../outside.onnx"), "bundle.yaml", "is not a plain path"),
    "path-absolute": (escape("/etc/passwd"), "bundle.yaml", "is not a plain path"),
    "link": (link_out, "model.onnx", "leads out of the bundle's folder"),
}


def spoilt(good: Path, repository: Path, case: str) -> Path:
    """A copy whose name says what is wrong with it."""
    folder = repository / "spoilt" / case
    shutil.copytree(good, folder)
    manifest(folder, lambda values: values.update({"name": "spoilt", "version": case}))
    CASES[case][0](folder)
    return folder


def open_model(repository: Path, name: str) -> EncoderModel:
    runtimes = Runtimes.here(FP32, 1)
    return load_model(Repository(repository).find_model(name), runtimes, lambda *_: CostModel(16))


@pytest.mark.parametrize("case", CASES)
def test_a_spoilt_bundle_is_refused_by_file_and_reason(
    good: Path, tmp_path: Path, case: str, capfd: pytest.CaptureFixture[str]
) -> None:
    spoilt(good, tmp_path, case)
    _, name, reason = CASES[case]
    with pytest.raises(BundleError) as refused:
        open_model(tmp_path, "spoilt")
    assert refused.value.path.name == name
    assert reason in refused.value.reason
    assert refused.value.reason.isprintable(), "a line of a log"
    assert capfd.readouterr().err == "", "the runtime writes past the log"


async def test_the_others_serve_on(
    good: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for case in CASES:
        spoilt(good, tmp_path, case)
    shutil.copytree(good, tmp_path / "toy" / "1")
    environment = {
        "TRIPTYCH_LISTEN_PORT": "0",
        "TRIPTYCH_LISTEN_OPERATIONS_PORT": "0",
        "TRIPTYCH_LIFECYCLE_DRAIN_DELAY": "0.05",
        "TRIPTYCH_MODELS_REPOSITORY": str(tmp_path),
    }
    settings = load(EncoderSettings, environment)
    ids, lengths = np.array([1, 2, 3], np.int32), np.array([2, 1], np.int32)
    batch = types.SequenceBatch(lengths=to_tensor(lengths), input_ids=to_tensor(ids))
    outputs = [pb.OutputSpec(kind=pb.OUTPUT_KIND_POOLED)]
    with caplog.at_level(logging.ERROR):
        async with (
            running(EncoderApplication(settings), settings) as server,
            grpc.aio.insecure_channel(f"127.0.0.1:{server.port}") as channel,
        ):
            request = pb.EncodeRequest(sequences=batch, outputs=outputs)
            response = await rpc.EncoderServiceStub(channel).Encode(request)
    assert response.model.name == "toy"
    assert list(response.outputs[0].shape) == [2, HIDDEN]
    told = [getattr(record, "reason", "") for record in caplog.records]
    for name, reason in (named[1:] for named in CASES.values()):
        assert any(name in line and reason in line for line in told)
    assert not any(record.exc_info for record in caplog.records)
