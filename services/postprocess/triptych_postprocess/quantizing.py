"""Embeddings in a byte or a bit a dimension."""

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.vectors import Vectors

INT8_MAX = 127


def to_int8(vectors: Vectors) -> NDArray[np.int8]:
    """int8 [N, H]: each row scaled so that its largest absolute number is 127, then rounded.

    Half goes to the even neighbour; a row of zeros stays one.
    """
    largest = np.abs(vectors).max(axis=1, keepdims=True, initial=0)
    largest[largest == 0] = 1
    # divided first: 127 over a small enough number is infinite
    scaled: Vectors = vectors / largest * INT8_MAX
    return np.rint(scaled).astype(np.int8)


def to_bits(vectors: Vectors) -> NDArray[np.uint8]:
    """uint8 [N, ceil(H / 8)]: a bit a dimension, 1 where it is above 0.

    The first dimension is the highest bit of the first byte; bits beyond the last are 0.
    """
    return np.packbits(vectors > 0, axis=1)
