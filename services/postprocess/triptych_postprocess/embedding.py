"""Pooled vectors to embeddings: average windows, cut, normalise, convert."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.outcome import Errors, Outcome, failing, living
from triptych_postprocess.quantizing import to_bits, to_int8
from triptych_postprocess.vectors import average, finite_rows, normalize
from triptych_postprocess.windows import Windows
from triptych_servicekit.errors import Internal, InvalidArgument


@dataclass(frozen=True, slots=True)
class EmbedOptions:
    """How embeddings are made; `dimensions` is resolved, from 1 to the model's hidden size."""

    normalize: bool
    dimensions: int
    dtype: np.dtype[Any]
    """float32, float16, int8 (see `to_int8`), or uint8 for a bit a dimension (see `to_bits`)."""


@dataclass(frozen=True, slots=True)
class Pooled:
    """Pooled vectors [S, H] of N items, one row each unless `windows` says otherwise."""

    vectors: NDArray[np.floating]
    windows: Windows | None = None

    @property
    def count(self) -> int:
        """Number of items."""
        return len(self.windows.first_rows) if self.windows else len(self.vectors)


def embed(pooled: Pooled, options: EmbedOptions, errors: Errors) -> Outcome[NDArray[Any]]:
    """Embeddings [K, dimensions] of the items not in `errors` and without other error.

    Of bits there are [K, ceil(dimensions / 8)] bytes.

    An item with a vector that is not finite fails alone, and so does one whose numbers do not fit
    the type asked for.
    """
    vectors = pooled.vectors.astype(np.float32, copy=False)
    broken = ~finite_rows(vectors)
    if pooled.windows:
        broken = np.logical_or.reduceat(broken, pooled.windows.first_rows)
        vectors = average(
            _silenced(vectors), pooled.windows.first_rows, pooled.windows.token_counts
        )
    errors = failing(broken, Internal("the encoder's vector is not finite")) | errors
    alive = living(pooled.count, errors)
    rows = (vectors if alive.all() else vectors[alive])[:, : options.dimensions]
    embeddings = _convert(normalize(rows) if options.normalize else rows, options.dtype)
    return _without_overflow(Outcome(embeddings, errors), alive)


def _silenced(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    # Items with broken vectors are refused anyway; zeros keep them from warning of it.
    return np.nan_to_num(vectors, nan=0, posinf=0, neginf=0)


def _convert(rows: NDArray[np.float32], dtype: np.dtype[Any]) -> NDArray[Any]:
    if dtype == np.int8:
        return to_int8(rows)
    if dtype == np.uint8:
        return to_bits(rows)
    with np.errstate(over="ignore"):
        return rows.astype(dtype, copy=False)


def _without_overflow(
    outcome: Outcome[NDArray[Any]], alive: NDArray[np.bool_]
) -> Outcome[NDArray[Any]]:
    fits = finite_rows(outcome.rows)
    if fits.all():
        return outcome
    message = f"the embedding does not fit {outcome.rows.dtype.name}; ask for float32 or normalize"
    error = InvalidArgument(message, field="options.dtype")
    failed = dict.fromkeys(np.flatnonzero(alive)[~fits].tolist(), error)
    return Outcome(outcome.rows[fits], outcome.errors | failed)
