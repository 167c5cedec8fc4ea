"""Models that the graph would not reproduce are refused, and the message says why."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save_file

from triptych_models.config import read_config
from triptych_models.errors import FetchError, UnsupportedModel
from triptych_models.sentence import Choices, SentenceSettings, read_sentence_settings
from triptych_models.tokenization import check_tokenizer, load_tokenizer
from triptych_models.weights import encoder_weights, read_tensors

WriteModel = Callable[..., Path]
PLAIN = Choices()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"model_type": "gpt2"}, "model_type 'gpt2' is not supported, only: bert, roberta"),
        ({"model_type": None}, "model_type None is not supported"),
        ({"hidden_act": "silu"}, "hidden_act 'silu' is not supported, only: gelu, gelu_new, relu"),
        ({"position_embedding_type": "relative_key"}, "only: absolute"),
        ({"is_decoder": True}, "is_decoder True is not supported"),
        ({"num_attention_heads": 5}, "hidden_size 16 does not divide into 5 heads"),
        ({"num_hidden_layers": 0}, "num_hidden_layers in config.json must be a whole number of at"),
        ({"vocab_size": "many"}, "vocab_size in config.json must be a whole number of at least 1"),
        ({"layer_norm_eps": 0.0}, "layer_norm_eps in config.json"),
    ],
)
def test_configurations(write_model: WriteModel, changes: dict[str, object], reason: str) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        read_config(write_model(**changes) / "config.json")


def test_a_broken_configuration_is_named(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("[]")
    with pytest.raises(FetchError, match=r"config\.json: must hold a JSON object"):
        read_config(tmp_path / "config.json")


def test_missing_and_misshapen_tensors(
    write_model: WriteModel, tensors: dict[str, NDArray[np.float32]]
) -> None:
    folder = write_model()
    config = read_config(folder / "config.json")
    name = "encoder.layer.1.output.dense.weight"
    with pytest.raises(UnsupportedModel, match=f"tensor '{name}' has shape"):
        encoder_weights(tensors | {name: np.ones((2, 2), "f4")}, config)
    del tensors[name]
    with pytest.raises(UnsupportedModel, match=f"tensor '{name}' is missing"):
        encoder_weights(tensors, config)


def test_whole_numbers_are_no_weights(
    write_model: WriteModel, tensors: dict[str, NDArray[np.float32]]
) -> None:
    path = write_model() / "model.safetensors"
    config = read_config(path.parent / "config.json")
    name = "encoder.layer.1.output.dense.bias"
    counted = {"embeddings.position_ids": np.arange(4), name: tensors[name].astype("i8")}
    save_file(tensors | counted, path)
    with pytest.raises(UnsupportedModel, match=f"tensor '{name}' is of int64"):
        encoder_weights(read_tensors(path, config), config)


def test_weights_of_another_family(write_model: WriteModel) -> None:
    path = write_model() / "model.safetensors"
    config = read_config(path.parent / "config.json")
    save_file({"wte.weight": np.ones((2, 2), "f4")}, path)
    with pytest.raises(UnsupportedModel, match="not the weights of an encoder of type bert"):
        read_tensors(path, config)
    path.write_bytes(b"not tensors")
    with pytest.raises(FetchError, match="cannot be read"):
        read_tensors(path, config)


def settings(folder: Path, choices: Choices = PLAIN) -> SentenceSettings:
    return read_sentence_settings(folder, read_config(folder / "config.json"), choices)


def modules(*kinds: str) -> list[dict[str, str]]:
    return [{"path": "", "type": f"sentence_transformers.models.{kind}"} for kind in kinds]


def test_a_plain_encoder_gets_mean_pooling_and_all_positions(write_model: WriteModel) -> None:
    found = settings(write_model(documents={"tokenizer_config.json": {"model_max_length": 10**30}}))
    assert (found.pooling, found.normalize, found.max_length) == ("mean", True, 40)


def test_files_of_sentence_transformers_decide(write_model: WriteModel) -> None:
    documents = {
        "modules.json": modules("Transformer", "Pooling"),
        "1_Pooling/config.json": {"pooling_mode_cls_token": True, "word_embedding_dimension": 16},
        "sentence_bert_config.json": {"max_seq_length": 32},
        "tokenizer_config.json": {"model_max_length": 40},
        "config_sentence_transformers.json": {"prompts": {"query": "query: "}},
    }
    folder = write_model(documents=documents)
    found = settings(folder)
    assert (found.pooling, found.normalize, found.max_length) == ("cls", False, 32)
    assert found.prompts == {"query": "query: "}
    chosen = settings(folder, Choices("last_token", True, 12))
    assert (chosen.pooling, chosen.normalize, chosen.max_length) == ("last_token", True, 12)


@pytest.mark.parametrize(
    ("documents", "reason"),
    [
        ({"modules.json": modules("Transformer", "Dense")}, "module Dense is not supported"),
        ({"1_Pooling/config.json": {"pooling_mode_max_tokens": True}}, "pooling pooling_mode_max"),
        ({"1_Pooling/config.json": {"include_prompt": False}}, "leaves the prompt out"),
        ({"1_Pooling/config.json": {"size": 16}}, "of an unstated mode"),
    ],
)
def test_other_pipelines(
    write_model: WriteModel, documents: dict[str, object], reason: str
) -> None:
    with pytest.raises(UnsupportedModel, match=reason):
        settings(write_model(documents=documents))


@pytest.mark.parametrize("max_length", [2, 41])
def test_lengths_that_the_model_has_no_positions_for(
    write_model: WriteModel, max_length: int
) -> None:
    with pytest.raises(UnsupportedModel, match="max length must be between 3 and 40"):
        settings(write_model(), Choices(max_length=max_length))


def test_a_tokenizer_beyond_the_vocabulary(write_model: WriteModel) -> None:
    folder = write_model(vocab_size=50)
    tokenizer = load_tokenizer(folder / "tokenizer.json", 8)
    with pytest.raises(UnsupportedModel, match="token id 58 of the tokenizer is beyond"):
        check_tokenizer(tokenizer, read_config(folder / "config.json"), settings(folder))


def test_lower_casing_that_the_tokenizer_does_not_do(write_model: WriteModel) -> None:
    folder = write_model(documents={"sentence_bert_config.json": {"do_lower_case": True}})
    tokenizer, config = load_tokenizer(folder / "tokenizer.json", 8), folder / "config.json"
    check_tokenizer(tokenizer, read_config(config), settings(folder))
    tokenizer.normalizer = None
    with pytest.raises(UnsupportedModel, match="do_lower_case is not supported"):
        check_tokenizer(tokenizer, read_config(config), settings(folder))
