"""Embed and Similarity."""

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import postprocess_service_pb2 as pb
from triptych.v1 import types_pb2 as types
from triptych_bundles import Bundle
from triptych_postprocess.embedding import EmbedOptions, Pooled, embed
from triptych_postprocess.outcome import Job
from triptych_postprocess.similarity import Pairs, similarity
from triptych_postprocess.windows import group_windows
from triptych_postprocess.wire.columns import optional, read_column, read_rows
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import DTYPES, to_tensor

EMBEDDING_DTYPES = (
    types.DATA_TYPE_FLOAT32,
    types.DATA_TYPE_FLOAT16,
    types.DATA_TYPE_INT8,
    types.DATA_TYPE_UINT8,
)
BITS = 8


def read_embed(
    request: pb.PostprocessServiceEmbedRequest, bundle: Bundle, max_items: int
) -> Job[NDArray[Any]]:
    """The work of an Embed request. Raises InvalidArgument."""
    options = read_embed_options(request.options, "options", bundle)
    return embed_job(_read_pooled(request, bundle.hidden_size, max_items), options)


def embed_job(pooled: Pooled, options: EmbedOptions) -> Job[NDArray[Any]]:
    """The work of making embeddings."""
    packed = options.dtype == np.uint8
    width = -(-options.dimensions // BITS) if packed else options.dimensions
    output = pooled.count * width * options.dtype.itemsize
    return Job(pooled.count, pooled.vectors.nbytes, output, partial(embed, pooled, options))


def read_embed_options(options: pb.EmbedOptions, field: str, bundle: Bundle) -> EmbedOptions:
    """Options resolved for a model; `field` is their place. Raises InvalidArgument."""
    return EmbedOptions(
        options.normalize if options.HasField("normalize") else bundle.normalize,
        _dimensions(options.dimensions, f"{field}.dimensions", bundle.hidden_size),
        _dtype(options.dtype or types.DATA_TYPE_FLOAT32, f"{field}.dtype"),
    )


def write_embeddings(rows: NDArray[Any]) -> pb.EmbedResult:
    """The answer to Embed."""
    return pb.EmbedResult(embeddings=to_tensor(rows))


def read_similarity(
    request: pb.PostprocessServiceSimilarityRequest, hidden_size: int, max_items: int
) -> Job[NDArray[np.float32]]:
    """The work of a Similarity request. Raises InvalidArgument."""
    vectors = read_rows(request.vectors, "vectors", hidden_size, max_items)
    first = read_column(request.first_index, "first_index")
    check_count(len(first), max_items, "first_index")
    second = read_column(request.second_index, "second_index", len(first))
    pairs = Pairs(first, second)
    size = vectors.nbytes + len(first) * hidden_size * vectors.itemsize
    output = len(first) * np.dtype(np.float32).itemsize
    return Job(len(first), size, output, partial(similarity, vectors, pairs))


def write_similarities(rows: NDArray[np.float32]) -> pb.SimilarityResult:
    """The answer to Similarity."""
    return pb.SimilarityResult(scores=to_tensor(rows))


def _read_pooled(
    request: pb.PostprocessServiceEmbedRequest, hidden_size: int, max_items: int
) -> Pooled:
    vectors = read_rows(request.vectors, "vectors", hidden_size, max_items)
    columns = {
        name: optional(request, name, partial(read_column, field=name, count=len(vectors)))
        for name in ("token_counts", "item_index")
    }
    index = columns["item_index"]
    return Pooled(vectors, None if index is None else group_windows(index, columns["token_counts"]))


def _dimensions(wanted: int, field: str, limit: int) -> int:
    if wanted > limit:
        message = f"{field} is {wanted}, the model has {limit}"
        raise InvalidArgument(message, field=field)
    return wanted or limit


def _dtype(dtype: int, field: str) -> np.dtype[Any]:
    if dtype not in EMBEDDING_DTYPES:
        message = f"{field} must be FLOAT32, FLOAT16, INT8, or UINT8 for binary embeddings"
        raise InvalidArgument(message, field=field)
    return DTYPES[dtype]
