"""The committed golden files: enough texts, of every kind, and numbers that fit them."""

import json
import unicodedata

import numpy as np
from safetensors.numpy import load

from triptych_models.golden import (
    COMMITTED_MAX_LENGTH,
    COMMITTED_WEIGHTS,
    GoldenFiles,
    committed,
    reference_texts,
)


def files() -> GoldenFiles:
    found = committed(COMMITTED_WEIGHTS, COMMITTED_MAX_LENGTH)
    assert found is not None
    return found


def texts() -> list[str]:
    found: list[str] = json.loads(files().texts)
    return found


def test_there_are_enough_different_texts() -> None:
    assert len(texts()) == len(set(texts())) >= 72
    assert all(texts())
    assert len(reference_texts()) >= 24


def test_every_kind_of_text_is_there() -> None:
    joined = "".join(texts())
    scripts = {unicodedata.name(character, "").split(" ")[0] for character in joined}
    assert {"CJK", "HIRAGANA", "HANGUL", "ARABIC", "HEBREW", "DEVANAGARI", "CYRILLIC"} <= scripts
    categories = {unicodedata.category(character) for character in joined}
    assert {"Cc", "Cf", "Co", "Mn", "So", "Sm", "Zs", "Zl", "Nd"} <= categories
    assert any(len(text) == 1 for text in texts())
    assert any(text.isspace() for text in texts())


def test_vectors_and_ids_fit_the_texts() -> None:
    tensors = load(files().vectors)
    lengths = tensors["lengths"]
    assert lengths.shape == (len(texts()),)
    assert tensors["input_ids"].shape == (int(lengths.sum()),)
    assert {2, 254, 255, 256} <= set(lengths.tolist())
    assert lengths.max() == COMMITTED_MAX_LENGTH
    for pooling in ("cls", "mean", "last_token"):
        vectors = tensors[f"pooled.{pooling}"]
        assert vectors.shape == (len(texts()), 384)
        assert np.isfinite(vectors).all()


def test_vectors_are_raw() -> None:
    norms = np.linalg.norm(load(files().vectors)["pooled.mean"], axis=1)
    assert not np.allclose(norms, 1, atol=0.1)


def test_the_source_is_stated() -> None:
    assert files().source.startswith("transformers ")
