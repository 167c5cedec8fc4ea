"""Whether a bundle gives its golden vectors on this machine."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import (
    POOLINGS,
    Bundle,
    Cosine,
    GoldenVectors,
    check_cosine,
    pooled_output,
    read_golden,
    verify_files,
)
from triptych_models.errors import GoldenMismatch, ModelError
from triptych_models.progress import Say
from triptych_models.tokenization import encode, load_tokenizer

# The library's wheels report their use to its maker unless they are told not to before the import.
os.putenv("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime

Ids: TypeAlias = NDArray[np.int32]
Vectors: TypeAlias = Mapping[str, NDArray[np.float32]]
# texts in their written order: short and long ones share a batch, so padding is tested
MIXED_BATCH = 8
_CPU = "cpu-"


def verify_bundle(bundle: Bundle, say: Say) -> Mapping[str, Cosine]:
    """Hashes, token ids, then every CPU graph's vectors; the worst cosine by pooling.

    Raises BundleError for files, GoldenMismatch for ids or vectors, ModelError for a graph that
    does not load.
    """
    verify_files(bundle)
    golden = read_golden(bundle)
    check_ids(bundle, golden)
    worst: dict[str, Cosine] = {}
    for variant, file in bundle.graphs.items():
        if variant.startswith(_CPU):
            graph = PaddedGraph(bundle.file(file))
            for pooling, cosine in _check_graph(graph, bundle, golden, variant, say).items():
                worst[pooling] = min(cosine, worst.get(pooling, cosine), key=lambda one: one.worst)
    return worst


def check_ids(bundle: Bundle, golden: GoldenVectors) -> None:
    """The bundle's tokenizer must give the golden ids, to the last one."""
    tokenizer = load_tokenizer(bundle.file("tokenizer.json"), bundle.max_length)
    for index, (ids, expected) in enumerate(
        zip(encode(tokenizer, golden.texts), golden.sequences(), strict=True)
    ):
        if not np.array_equal(ids, expected):
            raise GoldenMismatch(f"golden text {index} is tokenized into other ids")


class PaddedGraph:
    """A session on one core: what is held here is numbers, not speed."""

    def __init__(self, path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        try:
            self._session = onnxruntime.InferenceSession(
                str(path), options, providers=["CPUExecutionProvider"]
            )
        except Exception as error:  # the runtime's own errors share no narrower class
            raise ModelError(f"{path}: onnxruntime cannot load it: {error}") from error

    def run(self, sequences: Sequence[Ids], outputs: Sequence[str]) -> Vectors:
        """Outputs by name for one batch, padded to its longest sequence."""
        input_ids = np.zeros((len(sequences), max(map(len, sequences))), np.int32)
        mask = np.zeros_like(input_ids)
        for row, ids in enumerate(sequences):
            input_ids[row, : len(ids)], mask[row, : len(ids)] = ids, 1
        feed = {
            "input_ids": input_ids,
            "attention_mask": mask,
            "token_type_ids": np.zeros_like(input_ids),
        }
        return dict(zip(outputs, self._session.run(list(outputs), feed), strict=True))

    def pooled(self, sequences: Sequence[Ids], batch_size: int) -> Vectors:
        """float32[N, H] by pooling, for N texts in batches of `batch_size`."""
        batches = [
            self.run(sequences[start : start + batch_size], list(map(pooled_output, POOLINGS)))
            for start in range(0, len(sequences), batch_size)
        ]
        return {
            pooling: np.concatenate([batch[pooled_output(pooling)] for batch in batches])
            for pooling in POOLINGS
        }


def _check_graph(
    graph: PaddedGraph, bundle: Bundle, golden: GoldenVectors, variant: str, say: Say
) -> Mapping[str, Cosine]:
    worst: dict[str, Cosine] = {}
    for batch_size, manner in ((1, "alone"), (MIXED_BATCH, "in mixed batches")):
        vectors = graph.pooled(golden.sequences(), batch_size)
        for pooling in POOLINGS:
            cosine = check_cosine(
                vectors[pooling], golden.outputs[pooled_output(pooling)], bundle.golden.min_cosine
            )
            detail = f"{variant} {pooling} {manner}: worst cosine {cosine.worst:.9f}"
            say(f"  {detail} (text {cosine.index})")
            if not cosine.passed:
                raise GoldenMismatch(f"{bundle.name}@{bundle.version} {detail}")
            worst[pooling] = min(cosine, worst.get(pooling, cosine), key=lambda one: one.worst)
    return worst
