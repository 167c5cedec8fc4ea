"""A bundle made ready to run: verified, loaded, held against its golden vectors, warmed up."""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from triptych_bundles.errors import BundleError
from triptych_bundles.golden import GoldenVectors, disagreement, read_golden
from triptych_bundles.manifest import Bundle
from triptych_bundles.verifying import verify_files
from triptych_encoder.backend import LOGITS, TOKEN_LOGITS, Backend, RaggedBatch
from triptych_encoder.cost import CostModel
from triptych_encoder.lane import Lane
from triptych_encoder.outputs import output_widths
from triptych_encoder.runtimes import MIN_COSINES, OpenBackend, Runtime

CONFIG: Final = "config.json"
# Tokens of the longest text that is tried before a model serves: attention grows with its square.
LONGEST_TRIED: Final = 1024

FindCosts = Callable[[Bundle, str, Backend], CostModel]


@dataclass(frozen=True, slots=True)
class EncoderModel:
    """What the servicer needs of a model."""

    name: str
    lane: Lane
    max_length: int
    widths: Mapping[str, int]
    """Numbers a row, by output."""
    vocab_size: int
    type_vocab_size: int | None
    """None where token types say nothing: the graph does not read them, or knows only one."""
    pooling: str


def load_model(bundle: Bundle, runtime: Runtime, find_costs: FindCosts) -> EncoderModel:
    """Load a bundle. Raises BundleError, naming the file, where it may not serve."""
    graph = bundle.graphs.get(runtime.variant)
    if graph is None:
        raise BundleError(bundle.path, f"has no {runtime.variant} graph")
    verify_files(bundle, [graph, CONFIG, bundle.golden.vectors, bundle.golden.texts])
    golden, type_vocab_size = read_golden(bundle), _type_vocab_size(bundle)
    backend = _open(bundle.file(graph), runtime.open)
    try:
        _check_golden(_at(bundle, golden, runtime.precision), golden, graph, backend)
        _check_limits(bundle, graph, backend)
        costs = find_costs(bundle, graph, backend)
    except BaseException:
        backend.close()
        raise
    return EncoderModel(
        name=bundle.name,
        lane=Lane(backend, bundle.max_length, costs),
        max_length=bundle.max_length,
        widths=output_widths(bundle, backend.outputs),
        vocab_size=bundle.vocab_size,
        type_vocab_size=type_vocab_size if backend.reads_token_types else None,
        pooling=bundle.pooling,
    )


def _open(graph: Path, open_backend: OpenBackend) -> Backend:
    try:
        return open_backend(graph)
    except Exception as error:  # every runtime has errors of its own
        raise BundleError(graph, f"cannot be opened: {_said(error)}") from None


def _at(bundle: Bundle, golden: GoldenVectors, precision: str) -> Bundle:
    """The bundle with what a precision other than fp32 may differ from its golden numbers.

    A vector at cosine c is off by sqrt(2 (1 - c)) of its length. A logit may be off by that share
    of the largest among the golden ones, since its size says nothing by itself.
    """
    record, cosine = bundle.golden, MIN_COSINES.get(precision, 1.0)
    if cosine >= record.min_cosine:
        return bundle
    logits = [array for name, array in golden.outputs.items() if name in (LOGITS, TOKEN_LOGITS)]
    largest = max((float(np.abs(array).max()) for array in logits), default=0.0)
    error = max(record.max_logit_error, math.sqrt(2 * (1 - cosine)) * largest)
    return replace(bundle, golden=replace(record, min_cosine=cosine, max_logit_error=error))


def _check_golden(bundle: Bundle, golden: GoldenVectors, graph: str, backend: Backend) -> None:
    """Encode the golden texts one by one, which warms the runtime up, and compare."""
    names = list(golden.outputs)
    try:
        runs = [backend.run(RaggedBatch.of([one]), names) for one in golden.sequences()]
    except Exception as error:
        reason = f"cannot run the golden texts: {_said(error)}"
        raise BundleError(bundle.file(graph), reason) from None
    for position, name in enumerate(names):
        # of the only sequence: a row of each token for logits of tokens, else one
        rows = [np.atleast_2d(run[position][0]) for run in runs]
        reason = disagreement(bundle, name, np.concatenate(rows), golden)
        if reason:
            raise BundleError(bundle.path / bundle.golden.vectors, reason)


def _check_limits(bundle: Bundle, graph: str, backend: Backend) -> None:
    """Encode a text as long, of an id as great, as the bundle admits.

    With a graph of fewer embeddings each such text would be an error of ours, not the caller's.
    """
    length = min(bundle.max_length, LONGEST_TRIED)
    longest = np.full(length, bundle.vocab_size - 1, np.int32)
    try:
        backend.run(RaggedBatch.of([longest]), list(bundle.outputs)[:1])
    except Exception as error:
        tried = f"cannot run {length} tokens of the id {bundle.vocab_size - 1}"
        reason = f"{tried}, which bundle.yaml admits: {_said(error)}"
        raise BundleError(bundle.file(graph), reason) from None


def _said(error: Exception) -> str:
    """What the runtime says, in one line."""
    return " ".join(str(error).split())


def _type_vocab_size(bundle: Bundle) -> int | None:
    path = bundle.file(CONFIG)
    try:
        config = json.loads(path.read_bytes())
        # RoBERTa's relatives have one type, and some of their tokenizers give a second text another
        # all the same: as in transformers, which does not pass it on, it says nothing
        if config.get("type_vocab_size") == 1:
            return None
        return int(config.get("type_vocab_size", 1))
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise BundleError(path, f"cannot be read: {error}") from error
