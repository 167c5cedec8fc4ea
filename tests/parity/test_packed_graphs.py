"""The graphs for a GPU against the one for a CPU, in every architecture, without a GPU.

Their fused operators run as numpy defines them (tests/unit/models/contrib_reference.py), fed as the
encoder packs them; what onnxruntime itself can do of them on a CPU it does.
"""

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnxruntime.capi.onnxruntime_pybind11_state import NotImplemented as NoKernel

from tests.parity.tiny_models import ARCHITECTURES, ENTITIES, write_model
from tests.unit.models.contrib_reference import (
    HALF_NORM,
    OPERATORS,
    SkipLayerNormalization,
    run_graph,
)
from triptych_bundles import POOLINGS, pooled_output
from triptych_encoder.backend import RaggedBatch
from triptych_encoder.gpu.packing import COUNTING, PACKED, input_places, pack
from triptych_encoder.gpu.shapes import Shape, shape_of
from triptych_models.config import EncoderConfig, read_config
from triptych_models.graph import packed_graph, padded_gpu_graph, padded_graph
from triptych_models.graph.packed import MAX_LENGTH, POSITION_PADDING_ID, interleaved_qkv
from triptych_models.runtime import PaddedGraph
from triptych_models.weights import (
    EncoderWeights,
    Linear,
    encoder_weights,
    read_tensors,
    token_classifier_weights,
)

LENGTHS = (1, 2, 5, 17, 40, 128)
POOLED = tuple(map(pooled_output, POOLINGS))
# what float32 loses by another order of sums, and what the cosine of float16 must come to
SAME, CLOSE = 2e-4, 0.999
Arrays = Mapping[str, NDArray[Any]]

each_architecture = pytest.mark.parametrize("architecture", ARCHITECTURES)
each_kind = pytest.mark.parametrize("kind", [np.float32, np.float16], ids=["fp32", "fp16"])
each_bucket = pytest.mark.parametrize("bucket", [False, True], ids=["own size", "bucket"])


@functools.cache
def model(folder: Path, architecture: str) -> tuple[EncoderWeights, EncoderConfig, Linear]:
    source = write_model(folder, architecture, "tag")
    config = read_config(source / "config.json")
    tensors = read_tensors(source / "model.safetensors", config)
    classifier = token_classifier_weights(tensors, config, len(ENTITIES))
    return encoder_weights(tensors, config), config, classifier


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("packed")


def batch_of(config: EncoderConfig) -> RaggedBatch:
    """Sequences of many lengths and kinds; one spells the padding's token out."""
    numbers = np.random.default_rng(11)
    lengths = np.array(LENGTHS, np.int32)
    ids = numbers.integers(2, config.vocab_size, int(lengths.sum())).astype(np.int32)
    ids[10] = config.padding_id or 0
    types = numbers.integers(0, max(config.token_types, 1), len(ids)).astype(np.int32)
    return RaggedBatch(ids, types, lengths)


def expected(folder: Path, architecture: str) -> Arrays:
    """From the CPU's graph, of each sequence alone; tokens one after the other."""
    weights, config, classifier = model(folder, architecture)
    path = folder / f"{architecture}.onnx"
    path.write_bytes(padded_graph(weights, config, classifier).SerializeToString())
    batch = batch_of(config)
    rows = np.split(batch.input_ids, np.cumsum(batch.lengths)[:-1])
    types = np.split(batch.token_type_ids, np.cumsum(batch.lengths)[:-1])  # type: ignore[arg-type]
    outputs = [*POOLED, "last_hidden_state", "token_logits"]
    return PaddedGraph(path).run_all(rows, outputs, 1, types)


def packed_feeds(graph: onnx.ModelProto, batch: RaggedBatch, shape: Shape) -> dict[str, Any]:
    names = [item.name for item in graph.graph.input]
    found = input_places([name for name in names if name in PACKED], shape)
    block = np.zeros(max(place.end for place in found.values()), np.uint8)
    arrays = {name: place.of(block) for name, place in found.items()}
    pack(batch, shape, arrays, padding_id(graph))  # type: ignore[arg-type]
    counts = dict(zip(COUNTING, (shape.tokens, shape.width), strict=True))
    return {
        name: arrays.get(name, np.arange(counts.get(name, 0), dtype=np.int32)) for name in names
    }


def padding_id(graph: onnx.ModelProto) -> int | None:
    found = {item.key: item.value for item in graph.metadata_props}
    assert int(found[MAX_LENGTH]) == 128
    return int(found[POSITION_PADDING_ID]) if POSITION_PADDING_ID in found else None


def padded_feeds(graph: onnx.ModelProto, batch: RaggedBatch, bounds: bool) -> dict[str, Any]:
    """The packed arrays laid out in rows; `bounds` says where they start, too."""
    shape = shape_of(batch)
    flat = packed_feeds_by_row(batch, shape, padding_id(graph))
    starts = np.arange(shape.rows + 1, dtype=np.int32) * shape.width
    firsts = starts[:-1]
    extra = (starts, starts) if bounds else ()
    flat["key_lengths"] = np.concatenate([batch.lengths, *extra])
    flat |= {"first_tokens": firsts, "last_tokens": firsts + batch.lengths - 1}
    flat["token_index"] = np.arange(shape.rows * shape.width, dtype=np.int32)
    flat["sequence_index"] = np.arange(shape.width, dtype=np.int32)
    names = [item.name for item in graph.graph.input]
    return {name: flat[name] for name in names}


def packed_feeds_by_row(batch: RaggedBatch, shape: Shape, padding: int | None) -> dict[str, Any]:
    found = input_places(PACKED, shape)
    block = np.zeros(max(place.end for place in found.values()), np.uint8)
    arrays = {name: place.of(block) for name, place in found.items()}
    pack(batch, shape, arrays, padding)  # type: ignore[arg-type]
    real = np.arange(shape.width) < batch.lengths[:, None]
    rows = {}
    for name in ("input_ids", "position_ids", "token_type_ids"):
        rows[name] = np.zeros((shape.rows, shape.width), np.int32)
        rows[name][real] = arrays[name]
    return rows


def check(
    actual: Arrays, golden: Arrays, kind: type[np.floating[Any]], rows: Sequence[int]
) -> None:
    """`rows` of the token axis hold the real tokens."""
    sequences = len(LENGTHS)
    found = {name: actual[name][:sequences].astype(np.float64) for name in POOLED}
    for name in ("last_hidden_state", "token_logits"):
        found[name] = actual[name][rows].astype(np.float64)
    for name, ours in found.items():
        theirs = golden[name].astype(np.float64)
        if kind is np.float32:
            np.testing.assert_allclose(ours, theirs, atol=SAME, err_msg=name)
        norms = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
        assert ((ours * theirs).sum(axis=1) / norms).min() >= CLOSE, name


@each_architecture
@each_kind
@each_bucket
def test_the_packed_graph_gives_the_same(
    folder: Path, architecture: str, kind: type[np.floating[Any]], bucket: bool
) -> None:
    weights, config, classifier = model(folder, architecture)
    graph, batch = packed_graph(weights, config, classifier, kind), batch_of(config)
    shape = Shape(256, 16, 16, 128) if bucket else shape_of(batch)
    actual = run_graph(graph, packed_feeds(graph, batch, shape))
    assert actual["pooled.mean"].dtype == actual["token_logits"].dtype == np.float32
    assert actual["last_hidden_state"].dtype == kind
    check(actual, expected(folder, architecture), kind, range(len(batch.input_ids)))


@each_architecture
def test_it_is_close_where_norms_are_summed_in_float16(folder: Path, architecture: str) -> None:
    """As the GPU's kernel sums them unless it is told to be strict."""
    weights, config, classifier = model(folder, architecture)
    graph, batch = packed_graph(weights, config, classifier), batch_of(config)
    others = [each for each in OPERATORS if each is not SkipLayerNormalization]
    feeds = packed_feeds(graph, batch, shape_of(batch))
    actual = run_graph(graph, feeds, [*others, HALF_NORM])
    check(actual, expected(folder, architecture), np.float16, range(len(batch.input_ids)))


@each_architecture
@each_kind
def test_the_padded_graph_gives_the_same(
    folder: Path, architecture: str, kind: type[np.floating[Any]]
) -> None:
    weights, config, classifier = model(folder, architecture)
    graph, batch = padded_gpu_graph(weights, config, classifier, kind), batch_of(config)
    actual = run_graph(graph, padded_feeds(graph, batch, bounds=True))
    check(actual, expected(folder, architecture), kind, real_rows(batch))


@each_architecture
def test_onnxruntime_runs_the_padded_graph_alike(folder: Path, architecture: str) -> None:
    """On its CPU kernels, which read the lengths alone."""
    weights, config, classifier = model(folder, architecture)
    graph, batch = padded_gpu_graph(weights, config, classifier, np.float32), batch_of(config)
    session = onnxruntime.InferenceSession(graph.SerializeToString())
    names = [output.name for output in session.get_outputs()]
    feeds = padded_feeds(graph, batch, bounds=False)
    actual = dict(zip(names, session.run(names, feeds), strict=True))
    check(actual, expected(folder, architecture), np.float32, real_rows(batch))


def real_rows(batch: RaggedBatch) -> list[int]:
    width = shape_of(batch).width
    lengths = batch.lengths.tolist()
    return [row * width + at for row, length in enumerate(lengths) for at in range(length)]


@each_architecture
@each_kind
def test_only_a_kernel_is_missing_on_a_cpu(
    folder: Path, architecture: str, kind: type[np.floating[Any]]
) -> None:
    """Names, types and shapes pass onnxruntime's own schemas; they are read before kernels are."""
    weights, config, classifier = model(folder, architecture)
    graph = packed_graph(weights, config, classifier, kind)
    with pytest.raises(NoKernel, match="PackedMultiHeadAttention"):
        onnxruntime.InferenceSession(graph.SerializeToString())


@each_architecture
def test_no_node_needs_the_host(folder: Path, architecture: str) -> None:
    """Shapes computed at run time would be computed there, and rule out recording."""
    weights, config, classifier = model(folder, architecture)
    graph = packed_graph(weights, config, classifier).graph
    kinds = {node.op_type for node in graph.node}
    assert not kinds & {"Shape", "Size", "NonZero", "Range", "CumSum", "If", "Loop"}
    contrib = {operator.__name__ for operator in OPERATORS}
    assert {node.op_type for node in graph.node if node.domain} <= contrib


def test_a_layer_has_nine_nodes(folder: Path) -> None:
    weights, config, _ = model(folder, "bert")
    nodes = packed_graph(weights, config).graph.node
    layer = [node.op_type for node in nodes if node.output[0].startswith("layer.0")]
    assert sorted(layer) == sorted(
        ["MatMul"] * 4
        + ["SkipLayerNormalization"] * 2
        + ["Reshape", "PackedMultiHeadAttention", "BiasGelu"]
    )


def test_ranges_may_be_segments_of_sequences(folder: Path) -> None:
    """Pooled as the encoder pools them from hidden states."""
    weights, config, _ = model(folder, "bert")
    graph, batch = packed_graph(weights, config, None, np.float32), batch_of(config)
    feeds = packed_feeds(graph, batch, shape_of(batch))
    first = np.array([0, 1, 3, 8, 8, 100], np.int32)
    last = np.array([0, 2, 7, 20, 9, 192], np.int32)
    actual = run_graph(graph, feeds | {"first_tokens": first, "last_tokens": last})
    hidden = actual["last_hidden_state"].astype(np.float64)
    for row, (start, end) in enumerate(zip(first, last, strict=True)):
        np.testing.assert_allclose(
            actual["pooled.mean"][row], hidden[start : end + 1].mean(0), atol=1e-5
        )
        np.testing.assert_array_equal(actual["pooled.cls"][row], hidden[start].astype("f4"))
        np.testing.assert_array_equal(actual["pooled.last_token"][row], hidden[end].astype("f4"))


def test_queries_keys_and_values_are_interleaved_by_head(folder: Path) -> None:
    weights, config, _ = model(folder, "bert")
    layer = weights.layers[0]
    merged = interleaved_qkv(layer, config.heads)
    shaped = merged.kernel.reshape(-1, config.heads, 3, config.head_size)
    for index, part in enumerate((layer.query, layer.key, layer.value)):
        np.testing.assert_array_equal(
            shaped[:, :, index], part.kernel.reshape(-1, config.heads, config.head_size)
        )
        np.testing.assert_array_equal(merged.bias.reshape(3, -1)[index], part.bias)
