"""Whether a backend may serve a bundle on this machine: held against golden vectors and itself."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.errors import BundleError
from triptych_bundles.golden import GoldenVectors, disagreement
from triptych_bundles.manifest import Bundle, pooled_output
from triptych_bundles.verifying import verify_files
from triptych_encoder.backend import Backend, RaggedBatch
from triptych_encoder.runtimes import BF16, FP16, FP32, INT8, Runtime

# Tokens of the longest text that is tried before a model serves: attention grows with its square.
LONGEST_TRIED: Final = 1024
# Texts are held against themselves in padded batches, each with texts from the shortest to the
# longest: enough to show what depends on its neighbours, at a third of the price of all texts.
MIXED_BATCHES: Final = 2
MATES: Final = 8

Ints = NDArray[np.integer[Any]]
Array = NDArray[Any]
Rows = dict[int, list[Array]]


@dataclass(frozen=True, slots=True)
class Floor:
    """Least cosines that a precision may come to."""

    golden: float
    """Of a pooled vector to its golden one."""
    mates: float
    """Of a text's pooled vector in a padded batch to its vector alone."""
    output: str | None = None
    """The only one that is held to them, since no other was measured; None: all are."""


# Where a bundle has no record. In bf16 the default model comes to 0.99992 and 0.99998 at worst.
FLOORS: Final[Mapping[str, Floor]] = {
    BF16: Floor(golden=0.999, mates=0.9995),
    FP16: Floor(golden=0.999, mates=0.9995),
}
# What other threads may move a number by, as a share of the largest of its kind: they may sum in
# another order.
AGREEMENT: Final = 0.01
# A record says how far batch mates were seen to move a vector where it was made; another processor
# sums in another order, and may move it this many times as far.
MATES_SLACK: Final = 2.0


def floor_of(bundle: Bundle, precision: str) -> Floor:
    """What a bundle's vectors must reach. Raises BundleError where nobody has measured it."""
    if precision == FP32:
        return Floor(bundle.golden.min_cosine, bundle.golden.min_cosine)
    record = bundle.precisions.get(precision)
    if record is not None:
        mates = 1 - MATES_SLACK * (1 - record.batch_cosine)
        if precision == INT8:  # whose other products may be in bf16 here
            mates = min(mates, FLOORS[BF16].mates)
        return Floor(record.min_cosine, mates, pooled_output(bundle.pooling))
    if precision in FLOORS:
        return FLOORS[precision]
    raise BundleError(bundle.path, f"does not say how close {precision} comes", "precisions")


def open_admitted(bundle: Bundle, golden: GoldenVectors, runtime: Runtime) -> Backend:
    """Open a bundle's graph and check what it gives. Raises BundleError where it may not serve."""
    floor, graph = floor_of(bundle, runtime.precision), graph_of(bundle, runtime)
    try:
        backend = runtime.open(bundle.file(graph))
    except Exception as error:  # every runtime has errors of its own
        raise BundleError(bundle.file(graph), f"cannot be opened: {_said(error)}") from None
    try:
        _check_golden(bundle, golden, graph, backend, floor)
        _check_limits(bundle, graph, backend)
    except BaseException:
        backend.close()
        raise
    return backend


def open_alone(
    bundle: Bundle, golden: GoldenVectors, runtime: Runtime, admitted: Backend
) -> Backend | None:
    """The graph opened a second time, for runs alone; None where the runtime has no such way.

    It is the graph that was admitted, so it is held against that, by a few texts: a start under
    load should not take twice as long. Raises BundleError where it gives other numbers.
    """
    if runtime.open_alone is None:
        return None
    graph = graph_of(bundle, runtime)
    verify_files(bundle, [graph])  # again: it may have been replaced since it was opened first
    path = bundle.file(graph)
    try:
        backend = runtime.open_alone(path)
    except Exception as error:
        raise BundleError(path, f"cannot be opened twice: {_said(error)}") from None
    try:
        _check_agreement(path, golden, backend, admitted)
    except BaseException:
        backend.close()
        raise
    return backend


def _check_agreement(path: Path, golden: GoldenVectors, one: Backend, other: Backend) -> None:
    names, mixed = list(golden.outputs), _mixed(golden)
    for batches in (mixed, mixed[:, :1]):
        try:
            found, expected = (_encode(each, golden, names, batches) for each in (one, other))
        except Exception as error:
            raise BundleError(path, f"cannot run the golden texts: {_said(error)}") from None
        for position, name in enumerate(names):
            actual, wanted = _column(found, position), _column(expected, position)
            limit = AGREEMENT * float(np.abs(wanted).max())
            if not np.allclose(actual, wanted, rtol=0, atol=limit):
                raise BundleError(path, f"{name} comes out differently by several threads")


def graph_of(bundle: Bundle, runtime: Runtime) -> str:
    """The file that a runtime reads. Raises BundleError where the bundle has none."""
    try:
        return bundle.graphs[runtime.variant]
    except KeyError:
        raise BundleError(bundle.path, f"has no {runtime.variant} graph") from None


def _check_golden(
    bundle: Bundle, golden: GoldenVectors, graph: str, backend: Backend, floor: Floor
) -> None:
    """Encode the golden texts one by one, which warms the runtime up, and some in batches."""
    names, count = list(golden.outputs), len(golden.lengths)
    try:
        alone = _encode(backend, golden, names, np.arange(count)[:, None])
        mixed = alone | _encode(backend, golden, names, _mixed(golden))
    except Exception as error:
        reason = f"cannot run the golden texts: {_said(error)}"
        raise BundleError(bundle.file(graph), reason) from None
    for position, name in enumerate(names):
        own, beside = _column(alone, position), _column(mixed, position)
        if reason := _reason(bundle, name, golden, floor, own, beside):
            raise BundleError(bundle.path / bundle.golden.vectors, reason)


def _reason(
    bundle: Bundle, name: str, golden: GoldenVectors, floor: Floor, own: Array, beside: Array
) -> str:
    """Why an output may not serve, from its rows alone and in batches; empty if it may."""
    if floor.output not in (None, name):
        return "" if np.isfinite(own).all() else f"{name} is not finite here"
    if reason := _miss(bundle, name, own, golden, floor.golden):
        return reason
    themselves = replace(golden, outputs={name: own})
    if reason := _miss(bundle, name, beside, themselves, floor.mates):
        return f"in a padded batch, held against itself alone, {reason}"
    return ""


def _mixed(golden: GoldenVectors) -> Ints:
    """Texts by batch, [MIXED_BATCHES, MATES]; some come twice where there are few."""
    by_length: Ints = np.argsort(golden.lengths, kind="stable")
    picked = np.linspace(0, len(by_length) - 1, MIXED_BATCHES * MATES).astype(int)
    batches: Ints = by_length[picked].reshape(MATES, MIXED_BATCHES).T
    return batches


def _column(rows: Rows, position: int) -> Array:
    """An output of all texts, as golden vectors have it."""
    return np.concatenate([rows[text][position] for text in sorted(rows)])


def _miss(bundle: Bundle, name: str, actual: Array, golden: GoldenVectors, cosine: float) -> str:
    """How an output misses other numbers than those of fp32's golden record; empty if it does not.

    A vector at cosine c is off by sqrt(2 (1 - c)) of its length. A logit may be off by that share
    of the largest among the golden ones, since its size says nothing by itself.
    """
    record = bundle.golden
    if cosine < record.min_cosine:
        share = math.sqrt(2 * (1 - cosine))
        largest = float(np.abs(golden.outputs[name]).max())
        limit = max(record.max_logit_error, share * largest)
        record = replace(record, min_cosine=cosine, max_logit_error=limit)
    return disagreement(replace(bundle, golden=record), name, actual, golden)


def _encode(backend: Backend, golden: GoldenVectors, names: Sequence[str], batches: Ints) -> Rows:
    """The rows of each output, by text, of batches [batch, text]."""
    sequences = golden.sequences()
    rows: Rows = {}
    for texts in batches:
        results = backend.run(RaggedBatch.of(sequences[text] for text in texts), names)
        for row, text in enumerate(texts):
            # a row of each token for logits of tokens, else one
            length = golden.lengths[text]
            rows[int(text)] = [np.atleast_2d(result[row])[:length] for result in results]
    return rows


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
