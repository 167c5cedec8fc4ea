"""A tagger whose tags are known beforehand: each token's depends on the token alone.

A BERT of one layer that passes its embeddings on: "marie" begins a person, "curie" and "##s" go on
with it, "warsaw" is a place, and everything else is outside.
"""

import json
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from safetensors.numpy import save

from tests.wordpiece import bert_tokenizer
from triptych_models.__main__ import main

LABELS: Final = ("O", "B-PER", "I-PER", "B-LOC")
WORDS: Final = {"marie": 1, "curie": 2, "##s": 2, "warsaw": 3}
VOCABULARY: Final = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, "in", "the")
WIDTH: Final = 8
MAX_LENGTH: Final = 32
CONFIG: Final = {
    "model_type": "bert",
    "architectures": ["BertForTokenClassification"],
    "id2label": dict(enumerate(LABELS)),
    "hidden_act": "gelu",
    "hidden_size": WIDTH,
    "intermediate_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 2,
    "max_position_embeddings": MAX_LENGTH,
    "type_vocab_size": 2,
    "vocab_size": len(VOCABULARY),
    "layer_norm_eps": 1e-12,
}


def compile_tagger(repository: Path, folder: Path) -> None:
    """Make the bundle `marking` in a repository, by way of a model's folder."""
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(CONFIG))
    bert_tokenizer(VOCABULARY).save(str(folder / "tokenizer.json"))
    (folder / "model.safetensors").write_bytes(save(_weights()))
    (folder / "README.md").write_text("---\nlicense: mit\n---\n# Marking\n")
    code = main(["compile", str(folder), "--name", "marking", "--repository", str(repository)])
    assert code == 0


def _weights() -> dict[str, NDArray[np.float32]]:
    made = {"classifier.weight": 10 * np.eye(len(LABELS), WIDTH), "classifier.bias": np.zeros(4)}
    words = np.zeros((len(VOCABULARY), WIDTH))
    words[range(len(VOCABULARY)), [WORDS.get(token, 0) for token in VOCABULARY]] = 1
    made["bert.embeddings.word_embeddings.weight"] = words
    made["bert.embeddings.position_embeddings.weight"] = np.zeros((MAX_LENGTH, WIDTH))
    made["bert.embeddings.token_type_embeddings.weight"] = np.zeros((2, WIDTH))
    layer = "bert.encoder.layer.0"
    for name in ("embeddings", "encoder.layer.0.attention.output", "encoder.layer.0.output"):
        made[f"bert.{name}.LayerNorm.weight"] = np.ones(WIDTH)
        made[f"bert.{name}.LayerNorm.bias"] = np.zeros(WIDTH)
    for name in (
        *(f"attention.self.{one}" for one in ("query", "key", "value")),
        *("attention.output.dense", "intermediate.dense", "output.dense"),
    ):
        made[f"{layer}.{name}.weight"] = np.zeros((WIDTH, WIDTH))
        made[f"{layer}.{name}.bias"] = np.zeros(WIDTH)
    return {name: array.astype(np.float32) for name, array in made.items()}
