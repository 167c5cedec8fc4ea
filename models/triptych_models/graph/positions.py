"""Where a token stands: rows of the position table, and attention's bias by distance.

B texts, S tokens, H elements of an embedding, N heads.
"""

import math

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from triptych_models.config import MAX_DISTANCE, EncoderConfig
from triptych_models.graph.builder import GraphBuilder

Array = NDArray[np.float32]


def positions(graph: GraphBuilder, table: Array, input_ids: str, config: EncoderConfig) -> str:
    """The position embeddings, [S, H] for all texts or [B, S, H]."""
    rows = graph.constant("embeddings.position_table", table)
    if config.padding_id is not None:
        counted = _counted(graph, input_ids, config.padding_id)
        return graph.add("Gather", rows, counted, name="embeddings.positions")
    length = graph.add("Shape", input_ids, name="embeddings.length", start=1, end=2)
    zero = graph.integers(0)
    return graph.add("Slice", rows, zero, length, zero, name="embeddings.positions")


def _counted(graph: GraphBuilder, input_ids: str, padding_id: int) -> str:
    """int32[B, S]: the padding's id plus the number of tokens so far; the id itself for padding.

    By the ids, not by the mask, since a text may spell out the padding's token: that is attended
    to, and yet has the padding's position (transformers, create_position_ids_from_input_ids).
    """
    add = graph.add
    padding = graph.constant("padding_id", np.array(padding_id, np.int32))
    same = add("Equal", input_ids, padding, name="positions.padding")
    other = add("Not", same, name="positions.tokens")
    ones = add("Cast", other, name="positions.ones", to=TensorProto.INT32)
    axis = graph.constant("positions.axis", np.array(1, np.int64))
    count = add("CumSum", ones, axis, name="positions.count")
    masked = add("Mul", count, ones, name="positions.masked")
    return add("Add", masked, padding, name="positions.rows")


def relative_bias(graph: GraphBuilder, table: Array, input_ids: str, config: EncoderConfig) -> str:
    """[N, S, S]: the bias of each head by the distance from a query's token to a key's.

    The buckets of all distances are looked up here; what is left to run time is one Gather.
    """
    add, longest = graph.add, config.max_length
    buckets = relative_buckets(np.arange(1 - longest, longest), config.relative_buckets)
    by_distance = graph.constant("relative.table", table[buckets].T)
    distance = add("Sub", *_token_indices(graph, input_ids), name="relative.distances")
    index = add("Add", distance, graph.integers(longest - 1), name="relative.index")
    return add("Gather", by_distance, index, name="relative.bias", axis=1)


def distance_bias(
    graph: GraphBuilder,
    table: NDArray[np.floating],
    config: EncoderConfig,
    index: str,
    multiple: int,
) -> str:
    """[1, N, S, S], as `relative_bias`, in the type of `table` [buckets, N].

    `index` is an input, int32 [S] of 0, 1, 2, ...: so nothing is computed on the host. S may be the
    longest sequence rounded up to a `multiple`.
    """
    add, longest = graph.add, -(-config.max_length // multiple) * multiple
    buckets = relative_buckets(np.arange(1 - longest, longest), config.relative_buckets)
    by_distance = graph.constant("relative.table", table[buckets].T)
    queries = add("Unsqueeze", index, graph.integers(1), name="relative.queries")
    distance = add("Sub", index, queries, name="relative.distances")
    shift = graph.constant("relative.shift", np.array(longest - 1, np.int32))
    rows = add("Add", distance, shift, name="relative.index")
    bias = add("Gather", by_distance, rows, name="relative.bias", axis=1)
    return add("Unsqueeze", bias, graph.integers(0), name="relative.biases")


def _token_indices(graph: GraphBuilder, input_ids: str) -> tuple[str, str]:
    """0 to S - 1, as the keys' row [S] and as the queries' column [S, 1]."""
    add = graph.add
    zero, one = (graph.constant(f"int64.scalar.{at}", np.array(at, np.int64)) for at in (0, 1))
    length = add("Shape", input_ids, name="relative.length", start=1, end=2)
    count = add("Squeeze", length, graph.integers(0), name="relative.count")
    keys = add("Range", zero, count, one, name="relative.keys")
    return keys, add("Unsqueeze", keys, graph.integers(1), name="relative.queries")


def relative_buckets(distances: NDArray[np.int64], buckets: int) -> NDArray[np.int64]:
    """The bucket of each distance (Raffel et al. 2020, as MPNet has it).

    One half of the buckets is for keys after the query. Of each half, one half is for a distance
    each and the other for ranges that grow by a constant factor up to MAX_DISTANCE.
    """
    half = buckets // 2
    exact = half // 2
    away = np.abs(distances)
    growth = np.log(np.maximum(away, 1) / exact) / math.log(MAX_DISTANCE / exact)
    ranged = np.minimum(exact + (growth * (half - exact)).astype(np.int64), half - 1)
    within: NDArray[np.int64] = np.where(away < exact, away, ranged)
    return within + half * (distances > 0).astype(np.int64)
