"""Similarity and ranking: many rows through the encoder, then one call that compares them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_gateway.chunk import Chunk
from triptych_gateway.merging import Merged, rows
from triptych_gateway.models.background import ranked
from triptych_gateway.naming import under_name
from triptych_gateway.pairs import PairRows
from triptych_gateway.passage import Job, Passage
from triptych_gateway.tasks import (
    ChosenHead,
    Pair,
    Ranked,
    Ranking,
    Similarities,
    TextOptions,
    Timing,
    Usage,
)
from triptych_gateway.work import RankResult, RankWork, SimilarityWork, StageTime
from triptych_servicekit.together import together

# What sentence-transformers calls the prompts of a query and of what is searched.
QUERY_PROMPT: Final = "query"
DOCUMENT_PROMPTS: Final = ("document", "passage", "corpus")


def prompts_of_ranking(model: Bundle, text: TextOptions) -> tuple[TextOptions, TextOptions]:
    """How the query and how the documents are read.

    Where no prompt is named they get those that the model has for them.
    """
    if text.prompt_name:
        return text, text
    asks = QUERY_PROMPT if QUERY_PROMPT in model.prompts else ""
    answers = next((name for name in DOCUMENT_PROMPTS if name in model.prompts), "")
    return replace(text, prompt_name=asks), replace(text, prompt_name=answers)


async def compare(
    passage: Passage, job: Job, parts: Sequence[Sequence[str]], pairs: Sequence[Pair]
) -> Similarities:
    """The cosines of pairs whose distinct texts are in `parts`."""
    chunks = await together([passage.encode(job, part) for part in parts])
    merged, texts = Merged.of(chunks), [text for part in parts for text in part]
    living, scores = PairRows(pairs, texts, merged.errors), np.empty(0, np.float32)
    if len(living):
        work = SimilarityWork(rows(chunks), living.first(), living.second())
        call, stage = passage.calls.similarity(job.model), passage.stages.postprocess
        result, held = await stage.submit(
            work, call, len(living), [(ranked(job.origin), len(living))]
        )
        scores = result.rows
        living.fail(result.errors)
        _compared(merged.timing, result.times[0], held)
    return Similarities(
        model=job.model,
        scores=scores,
        usage=merged.usage,
        errors=living.errors,
        timing=merged.timing,
    )


async def rank_pairs(
    passage: Passage, job: Job, parts: Sequence[Sequence[Pair]], head: ChosenHead, ranking: Ranking
) -> Ranked:
    """Documents by what a head makes of query and document read together."""
    chunks = await together([passage.encode(job, part) for part in parts])
    return await _ranked(passage, job, chunks, head, ranking)


async def rank_vectors(
    passage: Passage, job: Job, parts: Sequence[Sequence[str]], ranking: Ranking
) -> Ranked:
    """Documents by the cosine of their vectors to the query's, which is encoded once."""
    ask, answer = prompts_of_ranking(job.model, job.text)
    query, *chunks = await together(
        [
            passage.encode(replace(job, text=ask), [ranking.query]),
            *(passage.encode(replace(job, text=answer), part) for part in parts),
        ]
    )
    if query.errors:
        raise under_name(query.errors[0], "query")
    return await _ranked(passage, job, chunks, None, ranking, query)


async def _ranked(
    passage: Passage,
    job: Job,
    chunks: Sequence[Chunk],
    head: ChosenHead | None,
    ranking: Ranking,
    query: Chunk | None = None,
) -> Ranked:
    merged = Merged.of(chunks)
    found = RankResult(np.empty(0, np.int32), np.empty(0, np.float32), None, ())
    living = np.delete(np.arange(len(ranking.documents)), sorted(merged.errors))
    if len(living):
        work = RankWork(rows(chunks), query.arrays[0] if query else None)
        call = passage.calls.rank(job.model, head, ranking.options)
        found, held = await passage.stages.postprocess.submit(
            work, call, len(living), [(ranked(job.origin), 1)]
        )
        if found.error:
            raise under_name(found.error, "query")
        _compared(merged.timing, found.times[0], held)
    return Ranked(
        model=job.model,
        document_index=living[found.document_index].astype(np.int32),
        scores=found.scores,
        usage=_with_query(query, merged.usage),
        errors=merged.errors,
        timing=merged.timing,
    )


def _compared(timing: Timing, time: StageTime, held: float) -> None:
    timing.postprocess = time.compute
    timing.queue += held + time.queue


def _with_query(query: Chunk | None, documents: Usage) -> Usage:
    if query is None:
        return documents
    own = query.spent()
    return Usage(
        np.concatenate([own.total_tokens, documents.total_tokens]),
        np.concatenate([own.kept_tokens, documents.kept_tokens]),
    )
