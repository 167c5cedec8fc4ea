"""The real bundle, and what is wrong with others."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from triptych_bundles import Bundle, BundleError, Repository, read_model, sha256_file
from triptych_tokenizer.loading import load_tokenizer


@pytest.fixture
def bundle(bundle_repository: Path, tmp_path: Path) -> Bundle:
    """A copy of the default bundle without its graph."""
    original = Repository(bundle_repository).bundles()[0]
    copy = tmp_path / original.name / original.version
    shutil.copytree(original.path, copy, ignore=shutil.ignore_patterns("*.onnx"))
    return read_model(copy)


def alter(bundle: Bundle, name: str, change: Callable[[str], str]) -> Bundle:
    """The bundle with a file changed and recorded as changed."""
    path, manifest = bundle.file(name), bundle.path / "bundle.yaml"
    before = bundle.record(name)
    path.write_text(change(path.read_text()))
    size = path.stat().st_size
    text = manifest.read_text().replace(before.sha256, sha256_file(path))
    manifest.write_text(text.replace(f"bytes: {before.bytes}\n", f"bytes: {size}\n"))
    return read_model(bundle.path)


def test_the_default_bundle_reproduces_its_golden_ids(bundle: Bundle) -> None:
    vocabulary = load_tokenizer(bundle).vocabulary
    assert (vocabulary.vocab_size, vocabulary.max_length) == (30522, 256)
    assert vocabulary.single.before == (101,)
    assert vocabulary.pair.type_ids == (0, 0, 0, 1, 1)


def test_limits_left_in_the_file_are_switched_off(bundle: Bundle) -> None:
    cut = '"truncation": {"max_length": 8, "strategy": "LongestFirst", "stride": 0}'
    load_tokenizer(alter(bundle, "tokenizer.json", lambda text: switched(text, cut)))


def switched(text: str, cut: str) -> str:
    changed = text.replace('"truncation": null', cut).replace('"truncation":null', cut)
    assert changed != text
    return changed


def test_a_changed_file_is_refused(bundle: Bundle) -> None:
    path = bundle.file("tokenizer.json")
    path.write_text(path.read_text().replace("true", "fals", 1))
    with pytest.raises(BundleError, match="wrong hash"):
        load_tokenizer(bundle)


def test_other_golden_ids_are_refused(bundle: Bundle) -> None:
    changed = alter(bundle, bundle.golden.texts, lambda text: text.replace('"hello"', '"hallo"'))
    with pytest.raises(BundleError, match="golden"):
        load_tokenizer(changed)


def test_a_tokenizer_with_more_tokens_than_the_model_is_refused(bundle: Bundle) -> None:
    manifest = bundle.path / "bundle.yaml"
    manifest.write_text(manifest.read_text().replace("vocab_size: 30522", "vocab_size: 30521"))
    with pytest.raises(BundleError, match="more than the model"):
        load_tokenizer(read_model(bundle.path))


def test_a_file_that_is_no_tokenizer_is_refused(bundle: Bundle) -> None:
    with pytest.raises(BundleError, match="cannot be used"):
        load_tokenizer(alter(bundle, "tokenizer.json", lambda _: "{}"))
