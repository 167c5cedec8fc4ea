"""The compiled graph against the float64 reference, on a small BERT of random numbers.

The other architectures are held against transformers itself: tests/parity.
"""

import hashlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from triptych_bundles import POOLINGS, check_cosine, pooled_output
from triptych_models.config import EncoderConfig, read_config
from triptych_models.graph import OUTPUTS, padded_graph
from triptych_models.plan import COMPILER_REVISION
from triptych_models.reference import ReferenceEncoder, pool
from triptych_models.runtime import PaddedGraph
from triptych_models.weights import Tensors, encoder_weights, read_tensors

LENGTHS = (1, 2, 3, 7, 16, 39, 40)
WriteModel = Callable[..., Path]
Ids = NDArray[np.int32]


def load(folder: Path) -> tuple[Tensors, EncoderConfig]:
    config = read_config(folder / "config.json")
    return read_tensors(folder / "model.safetensors", config), config


def build(folder: Path) -> onnx.ModelProto:
    tensors, config = load(folder)
    return padded_graph(encoder_weights(tensors, config), config)


def session(folder: Path) -> PaddedGraph:
    (folder / "model.onnx").write_bytes(build(folder).SerializeToString())
    return PaddedGraph(folder / "model.onnx")


def random_ids(config: EncoderConfig) -> list[Ids]:
    numbers = np.random.default_rng(3)
    return [numbers.integers(4, config.vocab_size, length).astype(np.int32) for length in LENGTHS]


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "gelu_pytorch_tanh", "relu"])
@pytest.mark.parametrize("batch_size", [1, len(LENGTHS)])
def test_pooled_vectors_agree(write_model: WriteModel, activation: str, batch_size: int) -> None:
    folder = write_model(hidden_act=activation)
    tensors, config = load(folder)
    reference, sequences = ReferenceEncoder(tensors, config), random_ids(config)
    expected = [pool(reference.hidden_states(ids)) for ids in sequences]
    actual = session(folder).run_all(sequences, list(map(pooled_output, POOLINGS)), batch_size)
    for pooling in POOLINGS:
        golden, found = np.stack([row[pooling] for row in expected]), actual[pooled_output(pooling)]
        np.testing.assert_allclose(found, golden, atol=2e-5)
        assert check_cosine(found, golden, 1 - 1e-9).passed


def test_hidden_states_agree(write_model: WriteModel) -> None:
    folder = write_model()
    tensors, config = load(folder)
    sequences = random_ids(config)
    states = session(folder).run(sequences, ["last_hidden_state"])["last_hidden_state"]
    for row, ids in zip(states, sequences, strict=True):
        golden = ReferenceEncoder(tensors, config).hidden_states(ids)
        np.testing.assert_allclose(row[: len(ids)], golden, atol=2e-5)


def test_a_row_of_padding_alone_stays_finite(write_model: WriteModel) -> None:
    empty = np.zeros(0, np.int32)
    outputs = session(write_model()).run([np.array([5, 6], np.int32), empty], OUTPUTS)
    assert all(np.isfinite(output).all() for output in outputs.values())


def test_token_types_are_read(write_model: WriteModel) -> None:
    graph = onnxruntime.InferenceSession(build(write_model()).SerializeToString())
    ids = np.array([[2, 9, 3, 8]], np.int32)
    feed = {"input_ids": ids, "attention_mask": np.ones_like(ids)}
    kinds = [np.zeros_like(ids), np.array([[0, 0, 1, 1]], np.int32)]
    first, second = (graph.run(["pooled.mean"], feed | {"token_type_ids": kind}) for kind in kinds)
    assert not np.allclose(first[0], second[0])


@pytest.mark.parametrize("prefix", ["", "bert."])
def test_checkpoints_under_a_head_and_with_old_names_are_the_same(
    write_model: WriteModel, tensors: dict[str, NDArray[np.float32]], prefix: str
) -> None:
    folder = write_model()
    expected = build(folder).SerializeToString(deterministic=True)
    renamed = {
        prefix + name.replace("Norm.weight", "Norm.gamma").replace("Norm.bias", "Norm.beta"): array
        for name, array in tensors.items()
    }
    save_file(renamed | {"classifier.weight": np.ones((2, 2), "f4")}, folder / "model.safetensors")
    assert build(folder).SerializeToString(deterministic=True) == expected


def test_the_file_holds_plain_operators_and_dynamic_axes(write_model: WriteModel) -> None:
    model = build(write_model())
    assert {node.domain for node in model.graph.node} == {""}
    assert [output.name for output in model.graph.output] == list(OUTPUTS)
    axes = [axis.dim_param for axis in model.graph.input[0].type.tensor_type.shape.dim]
    assert axes == ["batch", "sequence"]


def test_a_changed_graph_needs_a_new_compiler_revision(write_model: WriteModel) -> None:
    """Where this fails, raise COMPILER_REVISION, so that older bundles are known as such."""
    nodes = build(write_model()).graph.node
    text = "\n".join(f"{node.op_type} {list(node.input)} {list(node.output)}" for node in nodes)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    assert (COMPILER_REVISION, digest) == (1, "8cecaab0478798f1")
