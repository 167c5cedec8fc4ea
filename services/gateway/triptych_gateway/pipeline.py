"""The way of a request: tokenizer → encoder → postprocess.

A large request is cut into chunks that go their way independently, so that tokenizing one
overlaps encoding another, and that several replicas share it.
"""

import asyncio
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import numpy as np

from triptych_bundles.manifest import Bundle
from triptych_gateway.admission import Admission, estimate_tokens
from triptych_gateway.catalog import Catalog
from triptych_gateway.gather import StageCall
from triptych_gateway.merging import Chunk, detokenized, embedded, tokens, usage
from triptych_gateway.tasks import (
    Detokenized,
    Embedded,
    EmbedOptions,
    Input,
    Origin,
    Pair,
    Similarities,
    TextOptions,
    Timing,
    TokenIds,
    Tokens,
)
from triptych_gateway.work import (
    DetokenizeResult,
    DetokenizeWork,
    EmbedWork,
    EncodeWork,
    RowsResult,
    SimilarityWork,
    TokenizeResult,
    TokenizeWork,
)
from triptych_servicekit.errors import DeadlineExceeded, TriptychError

T = TypeVar("T")


class SubmitsWork(Protocol):
    """A stage: see stage.Stage."""

    async def submit(self, work: Any, call: StageCall, weight: int, origin: Origin) -> Any:
        """Send work, gathered with what else waits for an equal call."""

    def available(self) -> bool:
        """Whether a replica serves."""


class Calls(Protocol):
    """Makes the calls of the stages: the seam to the wire."""

    def tokenize(self, model: Bundle, text: TextOptions) -> StageCall: ...
    def detokenize(self, model: Bundle, include_special_tokens: bool) -> StageCall: ...
    def encode(self, model: Bundle, options: EmbedOptions) -> StageCall: ...
    def embed(self, model: Bundle, options: EmbedOptions) -> StageCall: ...
    def similarity(self, model: Bundle) -> StageCall: ...


@dataclass(frozen=True, slots=True)
class StageSet:
    """The three stages."""

    tokenizer: SubmitsWork
    encoder: SubmitsWork
    postprocess: SubmitsWork

    def missing(self) -> list[str]:
        """Names of those without a serving replica."""
        names = ("tokenizer", "encoder", "postprocess")
        return [name for name in names if not getattr(self, name).available()]


class Pipeline:
    """The gateway's Platform. `max_call_tokens` bounds one encoder call."""

    def __init__(
        self,
        catalog: Catalog,
        stages: StageSet,
        calls: Calls,
        admission: Admission,
        max_call_tokens: int,
    ) -> None:
        self.catalog = catalog
        self._stages = stages
        self._calls = calls
        self._admission = admission
        self._max_call_tokens = max_call_tokens

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
        work = [
            self._embed_chunk(model, part, text, options, origin)
            for part in self._cut(inputs, model)
        ]
        chunks = await self._admitted(work, estimate_tokens(inputs, model.max_length), origin)
        return embedded(model, chunks)

    async def similarity(
        self, model: Bundle, pairs: Sequence[Pair], text: TextOptions, origin: Origin
    ) -> Similarities:
        """See Platform."""
        texts = list(dict.fromkeys(text for pair in pairs for text in (pair.first, pair.second)))
        work = [self._compare(model, texts, pairs, text, origin)]
        estimate = estimate_tokens(texts, model.max_length)
        return (await self._admitted(work, estimate, origin))[0]

    async def tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> Tokens:
        """See Platform."""
        work = [self._tokenize(model, part, text, origin) for part in self._cut(inputs, model)]
        return tokens(model, await self._admitted(work, 0, origin))

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

    def _cut(self, items: Sequence[T], model: Bundle) -> list[Sequence[T]]:
        """Parts that fit an encoder call however long their texts are."""
        size = max(1, self._max_call_tokens // model.max_length)
        return [items[start : start + size] for start in range(0, len(items), size)]

    async def _admitted(
        self, work: "Sequence[Coroutine[Any, Any, T]]", estimate: int, origin: Origin
    ) -> list[T]:
        """Run the parts of a request within its deadline. The first failure ends the others."""
        try:
            with self._admission.admit(estimate, origin.deadline):
                async with asyncio.timeout(origin.deadline - time.monotonic()):
                    return await _together(work)
        except TimeoutError:
            raise DeadlineExceeded("the request's time is over") from None
        finally:
            for part in work:
                part.close()

    async def _tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> TokenizeResult:
        call = self._calls.tokenize(model, text)
        work = TokenizeWork(inputs)
        result: TokenizeResult = await self._stages.tokenizer.submit(
            work, call, len(inputs), origin
        )
        return result

    async def _encode_chunk(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        options: EmbedOptions,
        origin: Origin,
    ) -> Chunk:
        """Raw vectors of the inputs that have no error."""
        tokenized = await self._tokenize(model, inputs, text, origin)
        chunk = Chunk.of(tokenized, model.hidden_size)
        if len(tokenized.lengths):
            work = EncodeWork(tokenized.input_ids, tokenized.lengths, tokenized.token_type_ids)
            encoded: RowsResult = await self._stages.encoder.submit(
                work, self._calls.encode(model, options), len(tokenized.input_ids), origin
            )
            chunk.take_vectors(encoded)
        return chunk

    async def _embed_chunk(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        options: EmbedOptions,
        origin: Origin,
    ) -> Chunk:
        chunk = await self._encode_chunk(model, inputs, text, options, origin)
        if len(chunk.rows):
            result: RowsResult = await self._stages.postprocess.submit(
                EmbedWork(chunk.rows), self._calls.embed(model, options), len(chunk.rows), origin
            )
            chunk.take_answer(result)
        return chunk

    async def _detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> DetokenizeResult:
        lengths = np.array([len(sequence.ids) for sequence in sequences], np.int32)
        ids = [np.asarray(sequence.ids, np.int32) for sequence in sequences]
        call = self._calls.detokenize(model, include_special_tokens)
        result: DetokenizeResult = await self._stages.tokenizer.submit(
            DetokenizeWork(np.concatenate(ids), lengths), call, len(sequences), origin
        )
        return result

    async def _compare(
        self,
        model: Bundle,
        texts: Sequence[str],
        pairs: Sequence[Pair],
        text: TextOptions,
        origin: Origin,
    ) -> Similarities:
        chunks = await _together(
            [
                self._encode_chunk(model, part, text, EmbedOptions(), origin)
                for part in self._cut(texts, model)
            ]
        )
        encoded = embedded(model, chunks)
        row = {texts[index]: row for row, index in enumerate(_survivors(texts, encoded.errors))}
        failed = {
            text: encoded.errors[index]
            for index, text in enumerate(texts)
            if index in encoded.errors
        }
        errors = _pair_errors(pairs, failed)
        whole = [pair for index, pair in enumerate(pairs) if index not in errors]
        scores = np.empty(0, np.float32)
        timing = encoded.timing
        if whole:
            result = await self._similarity(model, encoded, whole, row, origin)
            scores = result.rows
            timing.merge(Timing(postprocess=result.time.compute))
        return Similarities(model, scores, usage(chunks), errors, timing)

    async def _similarity(
        self,
        model: Bundle,
        encoded: Embedded,
        pairs: Sequence[Pair],
        row: dict[str, int],
        origin: Origin,
    ) -> RowsResult:
        first = np.array([row[pair.first] for pair in pairs], np.int32)
        second = np.array([row[pair.second] for pair in pairs], np.int32)
        result: RowsResult = await self._stages.postprocess.submit(
            SimilarityWork(encoded.embeddings, first, second),
            self._calls.similarity(model),
            len(pairs),
            origin,
        )
        return result


async def _together(work: "Sequence[Coroutine[Any, Any, T]]") -> list[T]:
    """Results of all parts, in order; the first failure cancels the others."""
    if len(work) == 1:
        return [await work[0]]
    tasks: list[asyncio.Task[T]] = []
    try:
        async with asyncio.TaskGroup() as group:
            tasks += [group.create_task(part) for part in work]
    except* TriptychError as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


def _survivors(texts: Sequence[str], errors: Any) -> list[int]:
    return [index for index in range(len(texts)) if index not in errors]


def _pair_errors(
    pairs: Sequence[Pair], failed: dict[str, TriptychError]
) -> dict[int, TriptychError]:
    errors = {}
    for index, pair in enumerate(pairs):
        error = failed.get(pair.first) or failed.get(pair.second)
        if error is not None:
            errors[index] = error
    return errors
