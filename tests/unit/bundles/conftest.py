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


def head_manifest(name: str, version: str, files: Mapping[str, bytes]) -> dict[str, Any]:
    return {
        "schema": 1,
        "kind": "head",
        "name": name,
        "version": version,
        "task": "classify",
        "created": 0,
        "hidden_size": 4,
        "licence": "mit",
        "trunk": {"name": "tiny", "weights_sha256": HASH},
        "head": {
            "input": "pooled.mean",
            "normalized": True,
            "layers": [
                {"name": "dense", "activation": "tanh"},
                {"name": "out", "activation": "none"},
            ],
            "weights": "head.safetensors",
            "golden": "head-golden.safetensors",
            "labels": ["no", "yes", "perhaps"],
            "problem_type": "single_label_classification",
        },
        "files": {file: record(content) for file, content in files.items()},
    }


def head_tensors() -> dict[str, NDArray[np.float32]]:
    generator = np.random.default_rng(7)
    shapes = {"dense.kernel": (4, 5), "dense.bias": (5,), "out.kernel": (5, 3), "out.bias": (3,)}
    return {name: generator.standard_normal(shape, np.float32) for name, shape in shapes.items()}


def head_golden() -> dict[str, NDArray[np.float32]]:
    return {"inputs": np.ones((2, 4), np.float32), "logits": np.ones((2, 3), np.float32)}


@pytest.fixture
def write_head(root: Path) -> WriteBundle:
    """Write a head to the repository; as `write_bundle`."""

    def write(
        name: str = "mood",
        version: str = "1",
        spoil: Callable[[dict[str, Any]], object] = lambda facts: None,
        files: Mapping[str, bytes] | None = None,
    ) -> Path:
        held = {
            "head.safetensors": save(head_tensors()),
            "head-golden.safetensors": save(head_golden()),
        } | dict(files or {})
        facts = head_manifest(name, version, held)
        spoil(facts)
        folder = root / name / version
        folder.mkdir(parents=True)
        for file, content in held.items():
            (folder / file).write_bytes(content)
        (folder / "bundle.yaml").write_text(yaml.safe_dump(facts, sort_keys=False))
        return folder

    return write
