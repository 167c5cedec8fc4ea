"""Golden vectors: read whole or refused; and the cosine that a backend is judged by."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from safetensors.numpy import load_file, save

from triptych_bundles import BundleError, check_cosine, read_golden, read_model

WriteBundle = Callable[..., Path]
Tensors = dict[str, NDArray[Any]]
VECTORS = "golden-vectors.safetensors"


def test_reads_texts_ids_and_vectors(write_bundle: WriteBundle) -> None:
    golden = read_golden(read_model(write_bundle()))
    assert golden.texts == ("one", "two words")
    assert [ids.tolist() for ids in golden.sequences()] == [[1, 5, 2], [1, 6, 7, 2]]
    assert set(golden.outputs) == {"pooled.cls", "pooled.mean", "pooled.last_token"}
    assert golden.outputs["pooled.mean"].shape == (2, 4)
    assert golden.outputs["pooled.mean"].dtype == np.float32


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"input_ids": np.array([1, 2, 3], np.int32)}, "do not fit 2 texts"),
        ({"lengths": np.array([7], np.int32)}, "do not fit 2 texts"),
        ({"lengths": np.array([7, 0], np.int32)}, "has a length outside 1 to 8"),
        ({"input_ids": np.full(7, 10, np.int32)}, "has a token id outside 0 to 9"),
        ({"input_ids": np.full(7, 1, np.int64)}, "must hold input_ids as int32"),
        ({"pooled.cls": np.ones((2, 3), np.float32)}, "has pooled.cls of shape"),
        ({"pooled.cls": np.ones((2, 4), np.float64)}, "must hold pooled.cls as float32"),
    ],
)
def test_disagreement_is_refused(write_bundle: WriteBundle, change: Tensors, reason: str) -> None:
    bundle = read_model(write_bundle())
    path = bundle.path / VECTORS
    path.write_bytes(save(load_file(path) | change))
    with pytest.raises(BundleError, match=f"{VECTORS}: .*{reason}"):
        read_golden(bundle)


@pytest.mark.parametrize(
    ("file", "content", "reason"),
    [
        (VECTORS, b"not tensors", "cannot be read"),
        ("golden-texts.json", b"{", "cannot be read"),
        ("golden-texts.json", b"[1, 2]", "must hold a list of strings"),
    ],
)
def test_unreadable_files_are_named(
    write_bundle: WriteBundle, file: str, content: bytes, reason: str
) -> None:
    bundle = read_model(write_bundle(files={file: content}))
    with pytest.raises(BundleError, match=f"{file}: {reason}"):
        read_golden(bundle)


def test_cosine_ignores_length_and_names_the_worst_row() -> None:
    expected = np.eye(3, dtype=np.float32)
    actual = expected * 5
    actual[1] = [0.1, 1, 0]
    cosine = check_cosine(actual, expected, 0.999)
    assert cosine.index == 1
    assert cosine.worst == pytest.approx(1 / np.sqrt(1.01))
    assert not cosine.passed
    assert check_cosine(actual, expected, 0.99).passed


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0])
def test_what_is_no_direction_never_passes(value: float) -> None:
    expected = np.ones((2, 3), np.float32)
    actual = expected.copy()
    actual[0] = value
    assert check_cosine(actual, expected, 0.0).worst == -1.0


def test_cosine_needs_equal_shapes() -> None:
    with pytest.raises(ValueError, match="cannot be held against"):
        check_cosine(np.ones((2, 3)), np.ones((2, 4)), 0.9)
    with pytest.raises(ValueError, match="cannot be held against"):
        check_cosine(np.ones((0, 3)), np.ones((0, 3)), 0.9)
