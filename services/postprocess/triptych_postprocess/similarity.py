"""Cosine similarity of pairs of pooled vectors."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.outcome import Errors, Outcome, failing, living
from triptych_postprocess.vectors import Vectors, cosines, finite_rows, normalize
from triptych_servicekit.errors import Internal, InvalidArgument


@dataclass(frozen=True, slots=True)
class Pairs:
    """Rows of the vectors that form P pairs."""

    first: NDArray[np.int32]
    second: NDArray[np.int32]


def similarity(vectors: NDArray[np.floating], pairs: Pairs, errors: Errors) -> Outcome[Vectors]:
    """Cosines float32 [K] of the pairs not in `errors` and without other error, from -1 to 1.

    The cosine with a vector of zeros is 0. A pair whose index is out of range, or one of whose
    vectors is not finite, fails alone.
    """
    count = len(pairs.first)
    errors = _range_errors(pairs, len(vectors)) | errors
    finite = finite_rows(vectors)
    alive = np.flatnonzero(living(count, errors))
    first, second = pairs.first[alive], pairs.second[alive]
    sound = finite[first] & finite[second]
    broken = Internal("the encoder's vector is not finite")
    errors |= dict.fromkeys(alive[~sound].tolist(), broken)
    units = normalize(np.where(finite[:, np.newaxis], vectors, 0).astype(np.float32))
    return Outcome(cosines(units, first[sound], units, second[sound]), errors)


def _range_errors(pairs: Pairs, rows: int) -> Errors:
    errors: Errors = {}
    for name, index in (("second_index", pairs.second), ("first_index", pairs.first)):
        message = f"{name} must be from 0 to {rows - 1}, a row of vectors"
        error = InvalidArgument(message, field=name)
        errors |= failing((index < 0) | (index >= rows), error)
    return errors
