"""The way of a request: tokenizer → encoder → postprocess.

A large request is cut into chunks that go their way independently, so that tokenizing one
overlaps encoding another, and that several replicas share it.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_gateway.admission import Admission, estimate_tokens
from triptych_gateway.catalog import Catalog
from triptych_gateway.cutting import cut, weight_of
from triptych_gateway.merging import Chunk, detokenized, embedded, tokens
from triptych_gateway.pairs import PairRows, distinct_texts
from triptych_gateway.seams import Calls, StageSet
from triptych_gateway.settings import Gathering
from triptych_gateway.tasks import (
    Detokenized,
    Embedded,
    EmbedOptions,
    Input,
    Origin,
    Pair,
    Similarities,
    TextOptions,
    TokenIds,
    Tokens,
)
from triptych_gateway.work import (
    DetokenizeResult,
    DetokenizeWork,
    EmbedWork,
    EncodeWork,
    SimilarityWork,
    TokenizeResult,
    TokenizeWork,
)
from triptych_servicekit.errors import DeadlineExceeded
from triptych_servicekit.together import together

T = TypeVar("T")
InputT = TypeVar("InputT", bound=Input)


@dataclass(frozen=True, slots=True)
class Job:
    """What all chunks of a request have in common."""

    model: Bundle
    text: TextOptions
    origin: Origin
    options: EmbedOptions = field(default_factory=EmbedOptions)


class Pipeline:
    """The gateway's Platform."""

    def __init__(
        self,
        catalog: Catalog,
        stages: StageSet,
        calls: Calls,
        admission: Admission,
        limits: Gathering,
    ) -> None:
        self.catalog = catalog
        self._stages = stages
        self._calls = calls
        self._admission = admission
        self._limits = limits

    def unready(self) -> Sequence[str]:
        """Models and stages that are missing."""
        problems = [f"no {name} is available" for name in self._stages.missing()]
        return problems if self.catalog.models() else [*problems, "no model is served"]

    async def embed(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        options: EmbedOptions,
        origin: Origin,
    ) -> Embedded:
        """See Platform."""
        job = Job(model, text, origin, options)
        work = [self._embed(job, part) for part in self._cut(inputs, model)]
        chunks = await self._admitted(work, estimate_tokens(inputs, model.max_length), origin)
        return embedded(model, chunks)

    async def similarity(
        self, model: Bundle, pairs: Sequence[Pair], text: TextOptions, origin: Origin
    ) -> Similarities:
        """See Platform."""
        texts = distinct_texts(pairs)
        work = [self._compare(Job(model, text, origin), texts, pairs)]
        estimate = estimate_tokens(texts, model.max_length)
        return (await self._admitted(work, estimate, origin))[0]

    async def tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> Tokens:
        """See Platform."""
        job = Job(model, text, origin)
        work = [self._tokenize(job, part) for part in self._cut(inputs, model)]
        return tokens(model, [result for result, _ in await self._admitted(work, 0, origin)])

    async def detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> Detokenized:
        """See Platform."""
        work = [
            self._detokenize(model, part, include_special_tokens, origin)
            for part in self._cut(sequences, model)
        ]
        return detokenized(model, await self._admitted(work, 0, origin))

    def _cut(self, inputs: Sequence[InputT], model: Bundle) -> list[Sequence[InputT]]:
        """Parts that fit an encoder call however long their texts are, and a tokenizer call."""
        most = max(1, self._limits.max_call_tokens // model.max_length)
        return list(cut(inputs, most, self._limits.max_call_characters))

    async def _admitted(
        self, work: "Sequence[Coroutine[Any, Any, T]]", estimate: int, origin: Origin
    ) -> list[T]:
        """Run the parts of a request within its deadline."""
        try:
            with self._admission.admit(estimate, origin.deadline):
                async with asyncio.timeout(origin.deadline - time.monotonic()):
                    return await _together(work)
        except TimeoutError:
            raise DeadlineExceeded("the request's time is over") from None
        finally:
            for part in work:
                part.close()  # those that were never begun

    async def _tokenize(self, job: Job, inputs: Sequence[Input]) -> tuple[TokenizeResult, float]:
        """Token sequences, and the seconds that the inputs were held."""
        call = self._calls.tokenize(job.model, job.text)
        work, weight = TokenizeWork(inputs), weight_of(inputs)
        return await self._stages.tokenizer.submit(work, call, weight, job.origin)

    async def _encode(self, job: Job, inputs: Sequence[Input]) -> Chunk:
        """Raw vectors of the inputs that have no error."""
        tokenized, held = await self._tokenize(job, inputs)
        chunk = Chunk.of(tokenized, held, job.model.hidden_size)
        if len(tokenized.lengths):
            work = EncodeWork(tokenized.input_ids, tokenized.lengths, tokenized.token_type_ids)
            call = self._calls.encode(job.model, job.options)
            weight = len(tokenized.input_ids)
            chunk.take_vectors(*await self._stages.encoder.submit(work, call, weight, job.origin))
        return chunk

    async def _embed(self, job: Job, inputs: Sequence[Input]) -> Chunk:
        chunk = await self._encode(job, inputs)
        if len(chunk.rows):
            call = self._calls.embed(job.model, job.options)
            work, weight = EmbedWork(chunk.rows), len(chunk.rows)
            chunk.take_answer(
                *await self._stages.postprocess.submit(work, call, weight, job.origin)
            )
        return chunk

    async def _compare(self, job: Job, texts: Sequence[str], pairs: Sequence[Pair]) -> Similarities:
        parts = self._cut(texts, job.model)
        encoded = embedded(job.model, await _together([self._encode(job, part) for part in parts]))
        rows, scores = PairRows(pairs, texts, encoded.errors), np.empty(0, np.float32)
        if len(rows):
            work = SimilarityWork(encoded.embeddings, rows.first(), rows.second())
            call = self._calls.similarity(job.model)
            result, held = await self._stages.postprocess.submit(work, call, len(rows), job.origin)
            scores = result.rows
            rows.fail(result.errors)
            encoded.timing.postprocess = result.time.compute
            encoded.timing.queue += held + result.time.queue
        return Similarities(job.model, scores, encoded.usage, rows.errors, encoded.timing)

    async def _detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> DetokenizeResult:
        lengths = np.array([len(sequence.ids) for sequence in sequences], np.int32)
        ids = np.concatenate([np.asarray(sequence.ids, np.int32) for sequence in sequences])
        call = self._calls.detokenize(model, include_special_tokens)
        result: DetokenizeResult
        result, _ = await self._stages.tokenizer.submit(
            DetokenizeWork(ids, lengths), call, weight_of(sequences), origin
        )
        return result


async def _together(work: "Sequence[Coroutine[Any, Any, T]]") -> list[T]:
    """Results of all parts, in order; one alone needs no task."""
    if len(work) == 1:
        return [await work[0]]
    return await together(work)
