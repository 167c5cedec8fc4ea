"""A small intact bundle, and a way to spoil its bundle.yaml."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from numpy.typing import NDArray
from safetensors.numpy import save

HASH = "0" * 64
TEXTS = ["one", "two words"]
WriteBundle = Callable[..., Path]


def golden_tensors() -> dict[str, NDArray[np.generic]]:
    pooled = np.arange(8, dtype=np.float32).reshape(2, 4) + 1
    tensors: dict[str, NDArray[np.generic]] = {
        "input_ids": np.array([1, 5, 2, 1, 6, 7, 2], np.int32),
        "lengths": np.array([3, 4], np.int32),
    }
    return tensors | {f"pooled.{name}": pooled for name in ("cls", "mean", "last_token")}


def contents() -> dict[str, bytes]:
    return {
        "model.onnx": b"graph",
        "tokenizer.json": b"{}",
        "golden-texts.json": json.dumps(TEXTS).encode(),
        "golden-vectors.safetensors": save(golden_tensors()),
    }


def record(content: bytes) -> dict[str, object]:
    return {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def manifest(name: str, version: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "schema": 1,
        "name": name,
        "version": version,
        "task": "embed",
        "architecture": "bert",
        "created": 1627776000,
        "pooling": "mean",
        "normalize": True,
        "max_length": 8,
        "hidden_size": 4,
        "vocab_size": 10,
        "prompts": {"query": "query: "},
        "outputs": ["pooled.cls", "pooled.mean", "pooled.last_token", "last_hidden_state"],
        "graphs": {"cpu-fp32": "model.onnx"},
        "base": {"origin": "folder tiny", "licence": "apache-2.0", "weights_sha256": HASH},
        "golden": {
            "vectors": "golden-vectors.safetensors",
            "texts": "golden-texts.json",
            "source": "numbers by hand",
            "min_cosine": 0.99999,
        },
        "recipe": HASH,
        "files": {file: record(content) for file, content in files.items()},
    }


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "repository"


@pytest.fixture
def write_bundle(root: Path) -> WriteBundle:
    """Write a bundle to the repository; `spoil` may change its facts before they are written."""

    def write(
        name: str = "tiny",
        version: str = "1",
        spoil: Callable[[dict[str, Any]], object] = lambda facts: None,
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        held = contents() | dict(files or {})
        facts = manifest(name, version, held)
        spoil(facts)
        folder = root / name / version
        folder.mkdir(parents=True)
        for file, content in held.items():
            (folder / file).write_bytes(content)
        (folder / "bundle.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))
        return folder

    return write
