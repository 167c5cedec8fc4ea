"""Rank."""

from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from triptych.v1 import postprocess_service_pb2 as pb
from triptych_postprocess.heads import Classifier
from triptych_postprocess.outcome import Job
from triptych_postprocess.ranking import (
    Documents,
    Rankings,
    RankOptions,
    rank_pairs,
    rank_vectors,
)
from triptych_postprocess.wire.classes import WORK_OF_A_SCORE
from triptych_postprocess.wire.columns import read_column, read_rows
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import to_tensor

# A document in an answer: two integers and a score.
BYTES_OF_A_DOCUMENT: Final = 12


def read_rank(
    request: pb.PostprocessServiceRankRequest,
    hidden_size: int,
    find_head: Callable[[], Classifier],
    max_items: int,
) -> Job[Rankings]:
    """The work of a Rank request; `find_head` is called where it brings pairs.

    Raises InvalidArgument.
    """
    vectors = request.HasField("query_vectors") or request.HasField("document_vectors")
    if vectors == request.HasField("pairs"):
        message = "pairs, or query_vectors and document_vectors: one of the two must be set"
        raise InvalidArgument(message, field="pairs")
    options = RankOptions(request.top_n, request.raw_scores)
    if vectors:
        return _read_vectors(request, hidden_size, options, max_items)
    return _read_pairs(request, find_head(), options, max_items)


def write_rankings(rankings: Rankings) -> pb.RankResult:
    """The answer to Rank."""
    return pb.RankResult(
        query_index=to_tensor(rankings.query_index),
        document_index=to_tensor(rankings.document_index),
        score=to_tensor(rankings.scores),
    )


def _read_vectors(
    request: pb.PostprocessServiceRankRequest, hidden_size: int, options: RankOptions, limit: int
) -> Job[Rankings]:
    if request.head:
        raise InvalidArgument("head is for pairs; vectors are compared by cosine", field="head")
    queries = read_rows(request.query_vectors, "query_vectors", hidden_size, limit)
    vectors = read_rows(request.document_vectors, "document_vectors", hidden_size, limit)
    documents = _read_documents(request, len(vectors), limit)
    if len(queries) != len(documents.counts):
        counted = len(documents.counts)
        message = f"query_vectors have {len(queries)} rows, document_counts {counted} elements"
        raise InvalidArgument(message, field="document_counts")
    size = queries.nbytes + 2 * vectors.nbytes + len(vectors) * WORK_OF_A_SCORE
    work = partial(rank_vectors, queries, vectors, documents, options)
    return Job(len(queries), size, len(vectors) * BYTES_OF_A_DOCUMENT, work)


def _read_pairs(
    request: pb.PostprocessServiceRankRequest,
    classifier: Classifier,
    options: RankOptions,
    limit: int,
) -> Job[Rankings]:
    labels = len(classifier.head.labels)
    if labels != 1:
        message = f"head: a ranking needs a head of one label, this one has {labels}"
        raise InvalidArgument(message, field="head")
    pairs = read_rows(request.pairs, "pairs", classifier.input_size, limit)
    documents = _read_documents(request, len(pairs), limit)
    size = pairs.nbytes + len(pairs) * (classifier.row_work + WORK_OF_A_SCORE)
    work = partial(rank_pairs, pairs, classifier, documents, options)
    return Job(len(documents.counts), size, len(pairs) * BYTES_OF_A_DOCUMENT, work)


def _read_documents(request: pb.PostprocessServiceRankRequest, rows: int, limit: int) -> Documents:
    field = "document_counts"
    counts = read_column(request.document_counts, field)
    check_count(len(counts), limit, field)
    total = int(counts.sum(dtype=np.int64))
    if counts.min() < 0 or total != rows:
        message = f"{field} must not be negative, and add up to the {rows} documents"
        raise InvalidArgument(message, field=field)
    return Documents(counts.astype(np.int64))
