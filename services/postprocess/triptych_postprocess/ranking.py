"""Documents in order of relevance to their queries."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_postprocess.heads import Classifier, logits_of, probabilities
from triptych_postprocess.outcome import Errors, Outcome, failing, living
from triptych_postprocess.vectors import cosines, finite_rows, normalize
from triptych_servicekit.errors import Internal


@dataclass(frozen=True, slots=True)
class Documents:
    """D documents of Q queries, query by query."""

    counts: NDArray[np.int64]
    """[Q]: documents of each query, 0 or more; their sum is D."""

    def queries(self) -> NDArray[np.int64]:
        """[D]: the query of each document."""
        return np.repeat(np.arange(len(self.counts)), self.counts)

    def positions(self) -> NDArray[np.int64]:
        """[D]: where each document stands among those of its query."""
        starts = np.cumsum(self.counts) - self.counts
        return np.arange(int(self.counts.sum())) - np.repeat(starts, self.counts)


@dataclass(frozen=True, slots=True)
class Rankings:
    """R documents, those of a query together and the most relevant first."""

    query_index: NDArray[np.int32]
    document_index: NDArray[np.int32]
    """Among the documents of its query."""
    scores: NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class RankOptions:
    """How documents are ranked; `top_n` 0 returns all of them."""

    top_n: int
    raw_scores: bool = False


def rank_vectors(
    queries: NDArray[np.floating],
    vectors: NDArray[np.floating],
    documents: Documents,
    options: RankOptions,
    errors: Errors,
) -> Outcome[Rankings]:
    """Documents [D, H] by their cosine to their query's vector, of [Q, H].

    A query fails alone where its own vector or one of its documents' is not finite: leaving out
    the document would pass for a verdict on it.
    """
    sound = finite_rows(queries), finite_rows(vectors)
    owner = documents.queries()
    errors = _broken(owner, len(queries), ~sound[1]) | errors
    errors = failing(~sound[0], Internal("the encoder's vector is not finite")) | errors
    units, others = (
        normalize(np.where(finite[:, np.newaxis], rows, 0).astype(np.float32))
        for rows, finite in zip((queries, vectors), sound, strict=True)
    )
    scores = cosines(units, owner, others, np.arange(len(owner)))
    return Outcome(_rank(scores, scores, documents, options, errors), errors)


def rank_pairs(
    inputs: NDArray[np.floating],
    classifier: Classifier,
    documents: Documents,
    options: RankOptions,
    errors: Errors,
) -> Outcome[Rankings]:
    """Documents by what a head of one label makes of [D, input_size], read with their query.

    A query fails alone where a row of it is not finite, or so large that its logit is not.
    """
    made = logits_of(inputs, classifier, {})
    owner = documents.queries()
    alive = living(len(inputs), made.errors)
    logits = np.zeros((len(inputs), 1), np.float32)
    logits[alive] = made.rows
    errors = _broken(owner, len(documents.counts), ~alive) | errors
    scores = logits if options.raw_scores else probabilities(classifier.head, logits)
    return Outcome(_rank(logits[:, 0], scores[:, 0], documents, options, errors), errors)


def _broken(owner: NDArray[np.int64], queries: int, wrong: NDArray[np.bool_]) -> Errors:
    counts = np.bincount(owner[wrong], minlength=queries)
    return failing(counts > 0, Internal("the encoder's output for a document is not finite"))


def _rank(
    relevance: NDArray[np.float32],
    scores: NDArray[np.float32],
    documents: Documents,
    options: RankOptions,
    errors: Errors,
) -> Rankings:
    """Sort by relevance, which tells apart what rounds to the same score; equals by position."""
    owner, positions = documents.queries(), documents.positions()
    order = np.lexsort((positions, -relevance, owner))
    # sorting moves no document out of its query, so positions count ranks too
    kept = living(len(documents.counts), errors)[owner]
    if options.top_n:
        kept &= positions < options.top_n
    order = order[kept]
    return Rankings(owner[order].astype(np.int32), positions[order].astype(np.int32), scores[order])
