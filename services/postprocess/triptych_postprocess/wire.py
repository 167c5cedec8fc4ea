"""The contract's messages and what postprocess means by them, there and back."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle
from triptych_postprocess.embedding import EmbedOptions, Pooled, group_windows
from triptych_postprocess.similarity import Pairs
from triptych_servicekit.errors import InvalidArgument, Unimplemented
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import DTYPES, FLOATS, INT32, from_tensor

DEFAULT_DTYPE = types.DATA_TYPE_FLOAT32


def read_embed_options(options: pb.EmbedOptions, bundle: Bundle) -> EmbedOptions:
    """Options resolved for a model. Raises InvalidArgument, and Unimplemented for a dtype."""
    return EmbedOptions(
        options.normalize if options.HasField("normalize") else bundle.normalize,
        _dimensions(options.dimensions, bundle.hidden_size),
        _dtype(options.dtype or DEFAULT_DTYPE),
    )


def _dimensions(wanted: int, limit: int) -> int:
    if wanted > limit:
        field = "options.dimensions"
        message = f"{field} is {wanted}, the model has {limit}"
        raise InvalidArgument(message, field=field)
    return wanted or limit


def _dtype(dtype: int) -> np.dtype[Any]:
    field = "options.dtype"
    if dtype in (types.DATA_TYPE_INT8, types.DATA_TYPE_UINT8):
        raise Unimplemented(f"{field}: quantized embeddings are not served by this version")
    if dtype not in FLOATS:
        raise InvalidArgument(f"{field} must be FLOAT32 or FLOAT16", field=field)
    return DTYPES[dtype]


def read_pooled(
    request: pb.PostprocessServiceEmbedRequest, hidden_size: int, max_items: int
) -> Pooled:
    """Vectors of an Embed request and the items they belong to. Raises InvalidArgument."""
    vectors = read_vectors(request.vectors, hidden_size, max_items)
    counts = _column(request, "token_counts", len(vectors))
    index = _column(request, "item_index", len(vectors))
    return Pooled(vectors, None if index is None else group_windows(index, counts))


def read_vectors(
    tensor: types.Tensor, hidden_size: int, max_rows: int
) -> NDArray[np.floating[Any]]:
    """[S, H] vectors, at least one, of the model's width. Raises InvalidArgument."""
    vectors: NDArray[np.floating[Any]] = from_tensor(
        tensor, "vectors", dtypes=FLOATS, dimensions=(2,)
    )
    check_count(len(vectors), max_rows, "vectors")
    if vectors.shape[1] != hidden_size:
        message = f"vectors are {vectors.shape[1]} wide, the model's are {hidden_size}"
        raise InvalidArgument(message, field="vectors.shape")
    return vectors


def read_pairs(request: pb.PostprocessServiceSimilarityRequest, max_items: int) -> Pairs:
    """The pairs of a Similarity request. Raises InvalidArgument."""
    first = from_tensor(request.first_index, "first_index", dtypes=INT32, dimensions=(1,))
    second = from_tensor(request.second_index, "second_index", dtypes=INT32, dimensions=(1,))
    check_count(len(first), max_items, "first_index")
    if len(first) != len(second):
        message = f"first_index has {len(first)} elements, second_index {len(second)}"
        raise InvalidArgument(message, field="second_index")
    return Pairs(first, second)


def _column(
    request: pb.PostprocessServiceEmbedRequest, name: str, rows: int
) -> NDArray[np.int32] | None:
    if not request.HasField(name):  # type: ignore[arg-type]
        return None
    column = from_tensor(getattr(request, name), name, dtypes=INT32, dimensions=(1,))
    if len(column) != rows:
        message = f"{name} has {len(column)} elements, vectors {rows} rows"
        raise InvalidArgument(message, field=name)
    return column
