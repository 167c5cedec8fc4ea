"""Bundles with classes: what they hold, and what verification refuses."""

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save, save_file

from tests.parity.tiny_models import write_model
from triptych_bundles import (
    Bundle,
    Dense,
    Repository,
    forward,
    read_golden,
    read_head_golden,
    read_layers,
)
from triptych_models.classes import Task
from triptych_models.compilation import compile_bundle
from triptych_models.errors import GoldenMismatch, UnsupportedModel
from triptych_models.manifest import file_facts
from triptych_models.plan import make_plan
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.verification import verify_bundle


def silent(line: str) -> None:
    """Progress that nobody reads."""


def compiled(model: Path, task: Task | None = None) -> Bundle:
    source = fetch(str(model), model / "cache", "http://localhost", silent)
    plan = make_plan(source, "tiny", "1", Choices(), task)
    return compile_bundle(plan, model.parent / "models", True, silent)


def spoil(bundle: Bundle, file: str, name: str) -> Bundle:
    """Change one number, and pin the changed file as if it were right."""
    path, old = bundle.file(file), bundle.record(file)
    values: dict[str, NDArray[np.generic]] = load_file(path)
    changed = values[name].astype(np.float32)
    changed.flat[1] += np.float32(3e-3)
    path.write_bytes(save(values | {name: changed}))
    manifest = bundle.path / "bundle.yaml"
    text = manifest.read_text().replace(old.sha256, str(file_facts(path)["sha256"]))
    manifest.write_text(text.replace(f"bytes: {old.bytes}", f"bytes: {path.stat().st_size}"))
    return Repository(bundle.path.parents[1]).find_model(bundle.name)


def test_a_classifier_comes_as_layers(tmp_path: Path) -> None:
    bundle = compiled(write_model(tmp_path, "distilbert", "classify"))
    head = bundle.head
    assert head is not None
    assert (bundle.task, head.input, head.normalized) == ("classify", "pooled.cls", False)
    assert head.layers == (Dense("pre_classifier", "relu"), Dense("classifier", "none"))
    assert head.labels == ("negative", "neutral", "positive")
    golden, layers = read_head_golden(bundle, head), read_layers(bundle, head)
    np.testing.assert_array_equal(golden.inputs, read_golden(bundle).outputs["pooled.cls"])
    logits = forward(layers, golden.inputs, head.normalized)
    np.testing.assert_allclose(logits, golden.logits, rtol=0, atol=1e-5)


def test_a_tagger_has_an_output_more(tmp_path: Path) -> None:
    bundle = compiled(write_model(tmp_path, "electra", "tag"))
    assert (bundle.task, bundle.head) == ("tag", None)
    assert bundle.outputs[-1] == "token_logits"
    golden = read_golden(bundle)
    expected = (len(golden.input_ids), len(bundle.token_labels))
    assert golden.outputs["token_logits"].shape == expected


@pytest.mark.parametrize(
    ("kind", "file", "tensor", "reason"),
    [
        ("tag", "golden-vectors.safetensors", "token_logits", "cpu-fp32 token_logits alone"),
        ("rank", "head-golden.safetensors", "logits", "head logits"),
        ("rank", "head.safetensors", "classifier.kernel", "head logits"),
    ],
)
def test_verification_refuses_other_logits(
    tmp_path: Path, kind: str, file: str, tensor: str, reason: str
) -> None:
    bundle = compiled(write_model(tmp_path, "bert", kind))
    with pytest.raises(GoldenMismatch, match=rf"tiny@1 {reason}: largest error 0\.00"):
        verify_bundle(spoil(bundle, file, tensor), silent)


def test_the_trunk_of_a_classifier_compiles_alone(tmp_path: Path) -> None:
    model = write_model(tmp_path, "roberta", "classify")
    whole, trunk = compiled(model), compiled(model, "embed")
    assert (trunk.task, trunk.head) == ("embed", None)
    assert trunk.recipe != whole.recipe
    assert trunk.base.weights_sha256 == whole.base.weights_sha256


@pytest.mark.parametrize("task", ["classify", "tag"])
def test_a_head_that_is_not_there(tmp_path: Path, task: Task) -> None:
    model = write_model(tmp_path, "mpnet", "embed")
    with pytest.raises(UnsupportedModel, match=r"tensor 'classifier\..*weight' is missing"):
        compiled(model, task)


def test_as_many_labels_as_logits(tmp_path: Path) -> None:
    model = write_model(tmp_path, "xlm-roberta", "classify")
    path = model / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"id2label": {"0": "a", "1": "b"}}))
    with pytest.raises(UnsupportedModel, match=r"has shape \(3, 32\), expected shape \(2, 32\)"):
        compiled(model)


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_weights_of_other_types(tmp_path: Path, dtype: type[np.floating]) -> None:
    model = write_model(tmp_path, "electra", "rank")
    tensors = {
        name: array.astype(dtype) for name, array in load_file(model / "model.safetensors").items()
    }
    save_file(tensors, model / "model.safetensors")
    assert compiled(model).task == "rank"
