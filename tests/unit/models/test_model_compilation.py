"""A Hugging Face folder becomes a bundle: whole, verified, the same every time, or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save

from triptych_bundles import Bundle, Repository, read_golden
from triptych_models.compilation import compile_bundle
from triptych_models.errors import BundleExists, GoldenMismatch, ModelError, UnsupportedModel
from triptych_models.golden import COMMITTED_MAX_LENGTH, COMMITTED_WEIGHTS, GoldenFiles, committed
from triptych_models.manifest import file_facts
from triptych_models.plan import Plan, make_plan
from triptych_models.runtime import PaddedGraph
from triptych_models.sentence import Choices
from triptych_models.sources import fetch
from triptych_models.verification import verify_bundle

WriteModel = Callable[..., Path]


def silent(line: str) -> None:
    """Progress that nobody reads."""


def plan(folder: Path, choices: Choices | None = None, version: str = "1") -> Plan:
    source = fetch(str(folder), folder / "cache", "http://localhost", silent)
    return make_plan(source, "", version, choices or Choices())


def compiled(
    folder: Path, repository: Path, choices: Choices | None = None, overwrite: bool = False
) -> Bundle:
    return compile_bundle(plan(folder, choices), repository, overwrite, silent)


def test_a_bundle_holds_all_that_services_need(write_model: WriteModel, tmp_path: Path) -> None:
    bundle = compiled(write_model(), tmp_path / "repository")
    assert (bundle.name, bundle.version, bundle.task) == ("tiny-bert", "1", "embed")
    assert (bundle.pooling, bundle.normalize, bundle.max_length) == ("mean", True, 40)
    assert (bundle.base.origin, bundle.base.licence) == ("folder Tiny BERT", "mit")
    assert bundle.golden.source == "triptych float64 reference"
    assert bundle.graphs == {"cpu-fp32": "model.onnx"}
    assert set(bundle.files) == {
        "config.json",
        "golden-texts.json",
        "golden-vectors.safetensors",
        "model-card.md",
        "model.onnx",
        "tokenizer.json",
    }
    assert Repository(tmp_path / "repository").find("tiny-bert") == bundle
    assert [entry.name for entry in (tmp_path / "repository").iterdir()] == ["tiny-bert"]


def test_its_tokenizer_neither_pads_nor_cuts(write_model: WriteModel, tmp_path: Path) -> None:
    bundle = compiled(write_model(), tmp_path / "repository")
    values = json.loads(bundle.file("tokenizer.json").read_text())
    assert values["padding"] is None
    assert values["truncation"] is None


def test_golden_texts_are_cut_to_the_maximum(write_model: WriteModel, tmp_path: Path) -> None:
    golden = read_golden(compiled(write_model(), tmp_path / "repository", Choices(max_length=12)))
    assert golden.lengths.max() == 12
    assert len(golden.texts) >= 24


def test_the_same_input_gives_the_same_digest(write_model: WriteModel, tmp_path: Path) -> None:
    folder = write_model()
    first, second = (compiled(folder, tmp_path / name) for name in ("one", "two"))
    assert first.digest == second.digest


def test_an_existing_bundle_is_left_alone(write_model: WriteModel, tmp_path: Path) -> None:
    folder = write_model()
    first = compiled(folder, tmp_path / "repository")
    before = (first.path / "model.onnx").stat()
    assert compiled(folder, tmp_path / "repository") == first
    assert (first.path / "model.onnx").stat() == before


def test_a_broken_bundle_is_compiled_again(write_model: WriteModel, tmp_path: Path) -> None:
    folder = write_model()
    first = compiled(folder, tmp_path / "repository")
    (first.path / "model.onnx").write_bytes(b"cut")
    assert compiled(folder, tmp_path / "repository") == first
    verify_bundle(first, silent)


def test_other_content_needs_a_version_or_consent(write_model: WriteModel, tmp_path: Path) -> None:
    folder, repository = write_model(), tmp_path / "repository"
    first = compiled(folder, repository)
    with pytest.raises(BundleExists, match="tiny-bert@1 holds other content"):
        compiled(folder, repository, Choices(pooling="cls"))
    second = compiled(folder, repository, Choices(pooling="cls"), overwrite=True)
    assert second.pooling == "cls"
    assert second.digest != first.digest


@pytest.mark.parametrize("version", ["../1", "V1", "a/b"])
def test_names_that_could_leave_the_repository(write_model: WriteModel, version: str) -> None:
    with pytest.raises(UnsupportedModel, match="cannot name a bundle or a version"):
        plan(write_model(), version=version)


def rewrite_golden(bundle: Bundle, name: str, row: int) -> Bundle:
    """Spoil one number, and pin the spoilt file as if it were right."""
    path = bundle.file(bundle.golden.vectors)
    old = bundle.record(bundle.golden.vectors)
    values = load_file(path)
    values[name] = values[name].copy()
    values[name][row] = 4 if values[name].ndim == 1 else -values[name][row]
    path.write_bytes(save(values))
    manifest = bundle.path / "bundle.yaml"
    text = manifest.read_text().replace(old.sha256, str(file_facts(path)["sha256"]))
    manifest.write_text(text.replace(f"bytes: {old.bytes}", f"bytes: {path.stat().st_size}"))
    return Repository(bundle.path.parents[1]).find_model(bundle.name)


def test_verification_names_the_vector_that_differs(
    write_model: WriteModel, tmp_path: Path
) -> None:
    bundle = rewrite_golden(compiled(write_model(), tmp_path / "repository"), "pooled.cls", 5)
    lines: list[str] = []
    with pytest.raises(GoldenMismatch, match=r"tiny-bert@1 cpu-fp32 cls alone: worst cosine -1\.0"):
        verify_bundle(bundle, lines.append)
    assert lines[-1].endswith("(row 5)")


def test_verification_names_the_text_whose_ids_differ(
    write_model: WriteModel, tmp_path: Path
) -> None:
    bundle = rewrite_golden(compiled(write_model(), tmp_path / "repository"), "input_ids", 0)
    with pytest.raises(GoldenMismatch, match="golden text 0 is tokenized into other ids"):
        verify_bundle(bundle, silent)


def test_what_fails_verification_never_appears(write_model: WriteModel, tmp_path: Path) -> None:
    folder, repository = write_model(), tmp_path / "repository"
    bundle = compiled(folder, tmp_path / "other")
    vectors = load_file(bundle.file(bundle.golden.vectors))
    vectors["pooled.mean"] = np.roll(vectors["pooled.mean"], 1, axis=0)
    texts = bundle.file(bundle.golden.texts).read_bytes()
    wrong = replace(plan(folder), golden=GoldenFiles(texts, save(vectors), "a wrong source"))
    with pytest.raises(GoldenMismatch):
        compile_bundle(wrong, repository, False, silent)
    assert list(repository.iterdir()) == []


def test_a_graph_that_does_not_load_is_named(write_model: WriteModel, tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"no graph")
    with pytest.raises(ModelError, match=r"model\.onnx: onnxruntime cannot load it"):
        PaddedGraph(path)


def test_committed_vectors_belong_to_one_model_and_length() -> None:
    assert committed(COMMITTED_WEIGHTS, COMMITTED_MAX_LENGTH) is not None
    assert committed(COMMITTED_WEIGHTS, 128) is None
    assert committed("0" * 64, COMMITTED_MAX_LENGTH) is None
