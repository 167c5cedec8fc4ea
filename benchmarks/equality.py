"""Whether a system answers what the reference answers; one that does not is not timed."""

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np

from benchmarks.runtimes import Vectors
from benchmarks.system import System
from benchmarks.texts import KINDS, Source, Text

TEXTS_PER_KIND: Final = 32
MIN_COSINE: Final[Mapping[str, float]] = {"fp32": 0.999, "bf16": 0.999, "int8": 0.997}
"""To the bare runtime's fp32 vectors."""
MAX_LOWER_COSINE: Final = 0.999999
"""Above it at worst, vectors were not computed at a lower precision, whatever was asked for."""


class Unequal(Exception):
    """A system's vectors are not those that it should give."""


def trial_texts(source: Source) -> list[Text]:
    """Some of every kind."""
    return [text for kind in KINDS for text in source.take(kind, TEXTS_PER_KIND)]


def check(system: System, texts: Sequence[Text], reference: Vectors) -> float:
    """Least cosine to the reference. Raises Unequal where it is not as its precision demands."""
    least = float(cosines(system.embed(texts), reference).min())
    if least < MIN_COSINE[system.precision]:
        raise Unequal(f"cosine {least:.5f} is below {MIN_COSINE[system.precision]}")
    if system.precision != "fp32" and least > MAX_LOWER_COSINE:
        raise Unequal(f"cosine {least:.7f}: these are vectors of fp32")
    return least


def cosines(left: Vectors, right: Vectors) -> Vectors:
    """Of the rows, one by one."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    products: Vectors = np.sum(left * right, axis=1) / lengths
    return products
