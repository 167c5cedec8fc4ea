"""Bundles compiled for a GPU: the CPU's graph and two more, all of them pinned."""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.unit.models.contrib_reference import run_graph
from triptych_bundles import Bundle, Repository, read_golden
from triptych_encoder.backend import RaggedBatch
from triptych_encoder.gpu.packing import COUNTING, input_places, pack
from triptych_encoder.gpu.shapes import shape_of
from triptych_models.__main__ import main
from triptych_models.config import read_config
from triptych_models.errors import UnsupportedModel
from triptych_models.graph import packed_graph, padded_gpu_graph
from triptych_models.plan import GPU_REVISION
from triptych_models.weights import Linear, encoder_weights, read_tensors

WriteModel = Callable[..., Path]


def compiled(folder: Path, repository: Path, *options: str) -> Bundle:
    assert main(["compile", str(folder), "--repository", str(repository), *options]) == 0
    return Repository(repository).find_model("tiny-bert")


def test_a_bundle_for_a_gpu_serves_a_cpu_too(write_model: WriteModel, tmp_path: Path) -> None:
    folder = write_model()
    plain = compiled(folder, tmp_path / "cpu")
    bundle = compiled(folder, tmp_path / "gpu", "--target", "gpu")
    assert dict(bundle.graphs) == {
        "cpu-fp32": "model.onnx",
        "gpu-fp16-packed": "model.gpu-fp16-packed.onnx",
        "gpu-fp16-padded": "model.gpu-fp16-padded.onnx",
    }
    assert bundle.record("model.onnx") == plain.record("model.onnx")
    assert bundle.recipe != plain.recipe


def test_another_target_is_other_content(write_model: WriteModel, tmp_path: Path) -> None:
    folder, repository = str(write_model()), str(tmp_path / "repository")
    for_gpu = ["compile", folder, "--repository", repository, "--target", "gpu"]
    compiled(Path(folder), tmp_path / "repository")
    assert main(for_gpu) == 1
    assert main([*for_gpu, "--replace"]) == 0
    assert main(for_gpu) == 0


def test_its_packed_graph_gives_the_golden_vectors(write_model: WriteModel, tmp_path: Path) -> None:
    """All texts in one run, to the cosine that a GPU's are held to."""
    bundle = compiled(write_model(), tmp_path, "--target", "gpu")
    graph = onnx.load(bundle.file(bundle.graphs["gpu-fp16-packed"]))
    golden = read_golden(bundle)
    batch = RaggedBatch(golden.input_ids, None, golden.lengths)
    shape = shape_of(batch)
    names = [item.name for item in graph.graph.input]
    found = input_places(names, shape)
    block = np.zeros(max(place.end for place in found.values()), np.uint8)
    arrays = {name: place.of(block) for name, place in found.items()}
    pack(batch, shape, arrays, None)  # type: ignore[arg-type]
    counts = dict(zip(COUNTING, (shape.tokens, shape.width), strict=True))
    for name in set(names) & set(counts):
        arrays[name] = np.arange(counts[name], dtype=np.int32)
    outputs = run_graph(graph, arrays)
    for name, expected in golden.outputs.items():
        actual = outputs[name].astype(np.float64)
        norms = np.linalg.norm(actual, axis=1) * np.linalg.norm(expected, axis=1)
        assert ((actual * expected).sum(axis=1) / norms).min() > 0.999, name


def test_changed_graphs_need_a_new_revision(write_model: WriteModel) -> None:
    """Where this fails, raise GPU_REVISION, so that older bundles are known as such."""
    folder = write_model()
    config = read_config(folder / "config.json")
    weights = encoder_weights(read_tensors(folder / "model.safetensors", config), config)
    classifier = Linear(np.ones((config.hidden_size, 3), np.float32), np.ones(3, np.float32))
    text = "\n".join(
        f"{node.domain} {node.op_type} {list(node.input)} {list(node.output)}"
        for build in (packed_graph, padded_gpu_graph)
        for node in build(weights, config, classifier).graph.node
    )
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (GPU_REVISION, digest) == (2, "c15d753cb382cb4c")


@pytest.mark.parametrize("kind", [np.float16, np.float32])
def test_weights_beyond_float16_are_refused(
    write_model: WriteModel, kind: type[np.floating]
) -> None:
    folder = write_model()
    config = read_config(folder / "config.json")
    weights = encoder_weights(read_tensors(folder / "model.safetensors", config), config)
    weights.layers[1].output.bias[3] = 1e5
    if kind is np.float32:
        assert packed_graph(weights, config, None, kind).graph.node
        return
    with pytest.raises(UnsupportedModel, match=r"output_norm.bias holds numbers beyond float16"):
        packed_graph(weights, config, None, kind)
