"""verify_files finds every kind of damage and says which it is."""

from collections.abc import Callable
from pathlib import Path

import pytest

from triptych_bundles import BundleError, read_bundle, verify_files

WriteBundle = Callable[..., Path]


def test_intact_files_pass(write_bundle: WriteBundle) -> None:
    verify_files(read_bundle(write_bundle()))


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"gra", "is truncated: 3 bytes instead of 5"),
        (b"graphs", "is too long: 6 bytes instead of 5"),
        (b"Graph", "has the wrong hash: sha256"),
    ],
)
def test_damage_is_named(write_bundle: WriteBundle, content: bytes, reason: str) -> None:
    bundle = read_bundle(write_bundle())
    (bundle.path / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=rf"model\.onnx: {reason}"):
        verify_files(bundle)


def test_a_missing_file_is_named(write_bundle: WriteBundle) -> None:
    bundle = read_bundle(write_bundle())
    (bundle.path / "model.onnx").unlink()
    with pytest.raises(BundleError, match=r"model\.onnx: is missing"):
        verify_files(bundle)


def test_only_the_named_files_are_read(write_bundle: WriteBundle) -> None:
    bundle = read_bundle(write_bundle())
    (bundle.path / "model.onnx").unlink()
    verify_files(bundle, ["tokenizer.json"])
    with pytest.raises(BundleError, match="records no file 'other'"):
        verify_files(bundle, ["other"])
