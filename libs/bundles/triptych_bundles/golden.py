"""Golden vectors: texts, their token ids, and the pooled vectors that a backend must reproduce."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import POOLINGS, Bundle, pooled_output


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """N texts of T tokens in all, ids one after the other, vectors raw: never normalised."""

    texts: tuple[str, ...]
    input_ids: NDArray[np.int32]
    """[T], special tokens included, cut to the bundle's max_length."""
    lengths: NDArray[np.int32]
    """[N], in tokens; their sum is T."""
    pooled: Mapping[str, NDArray[np.float32]]
    """[N, H] by pooling."""

    def sequences(self) -> list[NDArray[np.int32]]:
        """The token ids of each text."""
        return np.split(self.input_ids, np.cumsum(self.lengths)[:-1])


def read_golden(bundle: Bundle) -> GoldenVectors:
    """Read a bundle's golden vectors; BundleError where their shapes do not agree with it.

    Hashes are not checked here: see `verify_files`.
    """
    path = bundle.file(bundle.golden.vectors)
    golden = _assemble(path, _texts(bundle.file(bundle.golden.texts)), _tensors(path))
    reason = _disagreement(bundle, golden)
    if reason:
        raise BundleError(path, reason)
    return golden


def _texts(path: Path) -> tuple[str, ...]:
    try:
        texts = json.loads(path.read_bytes())
    except (OSError, ValueError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise BundleError(path, "must hold a list of strings")
    return tuple(texts)


def _tensors(path: Path) -> dict[str, NDArray[np.generic]]:
    try:
        return dict(load_file(path))
    except (OSError, SafetensorError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error


def _assemble(
    path: Path, texts: tuple[str, ...], tensors: Mapping[str, NDArray[np.generic]]
) -> GoldenVectors:
    kinds: dict[str, type[np.generic]] = {"input_ids": np.int32, "lengths": np.int32}
    kinds |= {pooled_output(pooling): np.float32 for pooling in POOLINGS}
    for name, kind in kinds.items():
        if name not in tensors or tensors[name].dtype != kind:
            raise BundleError(path, f"must hold {name} as {np.dtype(kind)}")
    return GoldenVectors(
        texts=texts,
        input_ids=tensors["input_ids"].astype(np.int32),
        lengths=tensors["lengths"].astype(np.int32),
        pooled=MappingProxyType(
            {name: tensors[pooled_output(name)].astype(np.float32) for name in POOLINGS}
        ),
    )


def _disagreement(bundle: Bundle, golden: GoldenVectors) -> str:
    count, lengths, ids = len(golden.texts), golden.lengths, golden.input_ids
    if not count or lengths.shape != (count,) or ids.shape != (int(lengths.sum()),):
        return f"lengths {lengths.shape} and ids {ids.shape} do not fit {count} texts"
    if lengths.min() < 1 or lengths.max() > bundle.max_length:
        return f"has a length outside 1 to {bundle.max_length}"
    if ids.min() < 0 or ids.max() >= bundle.vocab_size:
        return f"has a token id outside 0 to {bundle.vocab_size - 1}"
    shapes = {array.shape for array in golden.pooled.values()}
    if shapes != {(count, bundle.hidden_size)}:
        return f"has vectors of shape {shapes}, not {(count, bundle.hidden_size)}"
    return ""
