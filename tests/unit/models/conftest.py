"""A BERT of random numbers in a Hugging Face folder: small, and complete enough to compile."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import save
from tokenizers import Tokenizer

from tests.wordpiece import bert_tokenizer

HIDDEN, INNER, LAYERS, HEADS, POSITIONS = 16, 24, 2, 4, 40
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]"]
LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [*SPECIAL, *LETTERS, *(f"##{letter}" for letter in LETTERS), "the", ".", "1"]
Arrays = dict[str, NDArray[np.float32]]
WriteModel = Callable[..., Path]


def config(**changes: object) -> dict[str, object]:
    return {
        "model_type": "bert",
        "hidden_act": "gelu",
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "max_position_embeddings": POSITIONS,
        "type_vocab_size": 2,
        "vocab_size": len(VOCABULARY),
        "layer_norm_eps": 1e-12,
    } | changes


def shapes() -> dict[str, tuple[int, ...]]:
    square = {"attention.self.query", "attention.self.key", "attention.self.value"}
    linear = dict.fromkeys(square | {"attention.output.dense"}, (HIDDEN, HIDDEN))
    linear |= {"intermediate.dense": (INNER, HIDDEN), "output.dense": (HIDDEN, INNER)}
    found: dict[str, tuple[int, ...]] = {
        "embeddings.word_embeddings.weight": (len(VOCABULARY), HIDDEN),
        "embeddings.position_embeddings.weight": (POSITIONS, HIDDEN),
        "embeddings.token_type_embeddings.weight": (2, HIDDEN),
    }
    norms = ["embeddings.LayerNorm"]
    for layer in (f"encoder.layer.{index}" for index in range(LAYERS)):
        norms += [f"{layer}.attention.output.LayerNorm", f"{layer}.output.LayerNorm"]
        for name, shape in sorted(linear.items()):
            found |= {f"{layer}.{name}.weight": shape, f"{layer}.{name}.bias": shape[:1]}
    for norm in norms:
        found |= {f"{norm}.weight": (HIDDEN,), f"{norm}.bias": (HIDDEN,)}
    return found


@pytest.fixture
def tensors() -> Arrays:
    numbers = np.random.default_rng(7)
    return {name: numbers.normal(0, 0.5, shape).astype("f4") for name, shape in shapes().items()}


def tokenizer() -> Tokenizer:
    made = bert_tokenizer(VOCABULARY)
    # as published models do, and a bundle must not
    made.enable_truncation(8)
    made.enable_padding(length=8)
    return made


@pytest.fixture
def write_model(tmp_path: Path, tensors: Arrays) -> WriteModel:
    """Write a model's folder; keyword arguments change its config.json."""

    def write(
        name: str = "Tiny BERT", documents: dict[str, Any] | None = None, **changes: object
    ) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, value in ({"config.json": config(**changes)} | (documents or {})).items():
            (folder / file).parent.mkdir(exist_ok=True)
            (folder / file).write_text(json.dumps(value))
        tokenizer().save(str(folder / "tokenizer.json"))
        (folder / "model.safetensors").write_bytes(save(tensors))
        (folder / "README.md").write_text("---\nlicense: mit\n---\n# Tiny\n")
        return folder

    return write
