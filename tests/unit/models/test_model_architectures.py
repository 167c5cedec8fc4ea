"""Where the architectures differ: configurations, lengths, inputs of the graph."""

import json
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.parity.tiny_models import MAX_LENGTH, write_model
from triptych_models.architectures import ARCHITECTURES
from triptych_models.config import EncoderConfig, read_config
from triptych_models.errors import UnsupportedModel
from triptych_models.graph import padded_graph
from triptych_models.reference import ReferenceEncoder
from triptych_models.runtime import PaddedGraph
from triptych_models.sentence import Choices, read_sentence_settings
from triptych_models.weights import encoder_weights, read_tensors

OFFSET = ("roberta", "xlm-roberta", "mpnet")


def changed(tmp_path: Path, architecture: str, **changes: object) -> EncoderConfig:
    path = write_model(tmp_path, architecture, "embed") / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    return read_config(path)


def build(folder: Path) -> onnx.ModelProto:
    config = read_config(folder / "config.json")
    tensors = read_tensors(folder / "model.safetensors", config)
    return padded_graph(encoder_weights(tensors, config), config)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_positions_before_the_first_are_no_length(tmp_path: Path, architecture: str) -> None:
    folder = write_model(tmp_path, architecture, "embed")
    config = read_config(folder / "config.json")
    assert config.max_positions == MAX_LENGTH + 2 * (architecture in OFFSET)
    assert config.max_length == MAX_LENGTH
    (folder / "tokenizer_config.json").unlink()
    assert read_sentence_settings(folder, config, Choices()).max_length == MAX_LENGTH
    with pytest.raises(UnsupportedModel, match=f"between 3 and {MAX_LENGTH}"):
        read_sentence_settings(folder, config, Choices(max_length=MAX_LENGTH + 1))


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_token_types_are_an_input_where_they_are_read(tmp_path: Path, architecture: str) -> None:
    inputs = [item.name for item in build(write_model(tmp_path, architecture, "embed")).graph.input]
    types = [] if architecture in ("distilbert", "mpnet") else ["token_type_ids"]
    assert inputs == ["input_ids", "attention_mask", *types]


@pytest.mark.parametrize("architecture", ["roberta", "mpnet"])
def test_the_paddings_token_within_a_text(tmp_path: Path, architecture: str) -> None:
    """It has the padding's position, is attended to, and those after it are counted on."""
    folder = write_model(tmp_path, architecture, "embed")
    (folder / "model.onnx").write_bytes(build(folder).SerializeToString())
    config = read_config(folder / "config.json")
    reference = ReferenceEncoder(read_tensors(folder / "model.safetensors", config), config)
    sequences = [np.array(ids, np.int32) for ids in ([0, 9, 1, 1, 30, 2], [0, 2], [0, 31, 8, 2])]
    states = PaddedGraph(folder / "model.onnx").run_all(sequences, ["last_hidden_state"], 3)
    expected = np.concatenate([reference.hidden_states(ids) for ids in sequences])
    np.testing.assert_allclose(states["last_hidden_state"], expected, rtol=0, atol=5e-5)


def test_roberta_counts_from_its_own_padding(tmp_path: Path) -> None:
    assert changed(tmp_path, "roberta", pad_token_id=4).max_length == MAX_LENGTH + 2 - 5


def test_what_a_configuration_does_not_decide(tmp_path: Path) -> None:
    assert changed(tmp_path, "mpnet", pad_token_id=4).padding_id == 1
    assert changed(tmp_path, "distilbert", layer_norm_eps=0.5).layer_norm_epsilon == 1e-12


def projected(folder: Path) -> bool:
    return any(node.name.startswith("embeddings.projection") for node in build(folder).graph.node)


def test_only_embeddings_narrower_than_the_layers_are_projected(tmp_path: Path) -> None:
    assert projected(write_model(tmp_path, "electra", "embed"))
    # a bare BERT's tensors are those of an ELECTRA with embeddings of full width
    folder = write_model(tmp_path, "bert", "embed")
    values = json.loads((folder / "config.json").read_text())
    values |= {"model_type": "electra", "embedding_size": values["hidden_size"]}
    (folder / "config.json").write_text(json.dumps(values))
    assert not projected(folder)


@pytest.mark.parametrize(
    ("architecture", "changes", "reason"),
    [
        ("distilbert", {"activation": "silu"}, "activation 'silu' is not supported, only: gelu"),
        ("distilbert", {"dim": None}, "dim in config.json must be a whole number of at least 1"),
        ("electra", {"embedding_size": 0}, "embedding_size in config.json must be a whole number"),
        ("roberta", {"pad_token_id": -1}, "pad_token_id in config.json must be a whole number"),
        ("roberta", {"max_position_embeddings": 2}, "max_position_embeddings 2 leave no position"),
        ("mpnet", {"relative_attention_num_buckets": 3}, "num_buckets must be from 4 to 511"),
        ("mpnet", {"relative_attention_num_buckets": 512}, "num_buckets must be from 4 to 511"),
    ],
)
def test_what_is_refused(
    tmp_path: Path, architecture: str, changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        changed(tmp_path, architecture, **changes)
