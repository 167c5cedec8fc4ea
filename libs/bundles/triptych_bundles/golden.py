"""Golden vectors: texts, their token ids, and the outputs that a backend must reproduce."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file

from triptych_bundles.cosine import check_cosine
from triptych_bundles.errors import BundleError
from triptych_bundles.manifest import (
    HIDDEN_OUTPUT,
    LOGITS_OUTPUT,
    MANIFEST_NAME,
    TOKEN_LOGITS_OUTPUT,
    Bundle,
)


@dataclass(frozen=True, slots=True)
class GoldenVectors:
    """N texts of T tokens in all, ids one after the other, vectors raw: never normalised."""

    texts: tuple[str, ...]
    input_ids: NDArray[np.int32]
    """[T], special tokens included, cut to the bundle's max_length."""
    lengths: NDArray[np.int32]
    """[N], in tokens; their sum is T."""
    outputs: Mapping[str, NDArray[np.float32]]
    """By output of the graph, all but the hidden states: [N, H] for the pooled ones, [N, labels]
    for logits, [T, labels] for those of tokens."""

    def sequences(self) -> list[NDArray[np.int32]]:
        """The token ids of each text."""
        return np.split(self.input_ids, np.cumsum(self.lengths)[:-1])


def read_golden(bundle: Bundle) -> GoldenVectors:
    """Read a bundle's golden vectors; BundleError where their shapes do not agree with it.

    Hashes are not checked here: see `verify_files`.
    """
    path = bundle.file(bundle.golden.vectors)
    golden = _assemble(bundle, path, _texts(bundle.file(bundle.golden.texts)), _tensors(path))
    reason = _disagreement(bundle, golden)
    if reason:
        raise BundleError(path, reason)
    return golden


def disagreement(
    bundle: Bundle,
    output: str,
    actual: NDArray[np.floating],
    golden: GoldenVectors,
    precision: str = "fp32",
) -> str:
    """How an output misses its golden numbers; empty where it comes close enough.

    Vectors are held against each other by cosine; logits, whose sizes matter, by difference. In
    another precision than fp32 the floor is its own, and logits need only be finite: how they fare
    is what its scores tell. BundleError where the bundle was not measured in it.
    """
    record, expected = bundle.golden, golden.outputs[output]
    if output in (LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT):
        most = record.max_logit_error if precision == "fp32" else np.finfo(np.float64).max
        error = np.abs(actual.astype(np.float64) - expected).max(axis=1)
        worst = int(np.argmax(np.where(np.isfinite(error), error, np.inf)))
        if error[worst] <= most:
            return ""
        limit = f"more than {most}"
        return f"{output} of row {worst} is off by {error[worst]:.6f} here, {limit}"
    cosine = check_cosine(actual, expected, min_cosine(bundle, precision))
    if cosine.passed:
        return ""
    limit = f"less than {cosine.minimum}"
    return f"{output} of text {cosine.index} comes out at cosine {cosine.worst:.6f} here, {limit}"


def min_cosine(bundle: Bundle, precision: str = "fp32") -> float:
    """The floor of a precision; BundleError where the bundle was not measured in it."""
    if precision == "fp32":
        return bundle.golden.min_cosine
    if precision not in bundle.precisions:
        raise BundleError(bundle.path / MANIFEST_NAME, f"says nothing of {precision}", "precisions")
    return bundle.precisions[precision].min_cosine


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
    bundle: Bundle, path: Path, texts: tuple[str, ...], tensors: Mapping[str, NDArray[np.generic]]
) -> GoldenVectors:
    outputs = [output for output in bundle.outputs if output != HIDDEN_OUTPUT]
    kinds: dict[str, type[np.generic]] = {"input_ids": np.int32, "lengths": np.int32}
    kinds |= dict.fromkeys(outputs, np.float32)
    for name, kind in kinds.items():
        if name not in tensors or tensors[name].dtype != kind:
            raise BundleError(path, f"must hold {name} as {np.dtype(kind)}")
    return GoldenVectors(
        texts=texts,
        input_ids=tensors["input_ids"].astype(np.int32),
        lengths=tensors["lengths"].astype(np.int32),
        outputs=MappingProxyType({name: tensors[name].astype(np.float32) for name in outputs}),
    )


def _disagreement(bundle: Bundle, golden: GoldenVectors) -> str:
    count, lengths, ids = len(golden.texts), golden.lengths, golden.input_ids
    if not count or lengths.shape != (count,) or ids.shape != (int(lengths.sum()),):
        return f"lengths {lengths.shape} and ids {ids.shape} do not fit {count} texts"
    if lengths.min() < 1 or lengths.max() > bundle.max_length:
        return f"has a length outside 1 to {bundle.max_length}"
    if ids.min() < 0 or ids.max() >= bundle.vocab_size:
        return f"has a token id outside 0 to {bundle.vocab_size - 1}"
    for output, array in golden.outputs.items():
        expected = _shape(bundle, output, count, len(ids))
        if array.shape != expected:
            return f"has {output} of shape {array.shape}, not {expected}"
    return ""


def _shape(bundle: Bundle, output: str, texts: int, tokens: int) -> tuple[int, int]:
    if output == TOKEN_LOGITS_OUTPUT:
        return tokens, len(bundle.token_labels)
    if output == LOGITS_OUTPUT:
        return texts, len(bundle.head.labels) if bundle.head else 0
    return texts, bundle.hidden_size
