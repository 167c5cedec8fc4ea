"""The way of a request: tokenizer → encoder → postprocess.

A large request is cut into chunks that go their way independently, so that tokenizing one
overlaps encoding another, and that several replicas share it.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from triptych_bundles.manifest import Bundle, pooled_output
from triptych_gateway import documents, pieces
from triptych_gateway.admission import Admission
from triptych_gateway.cutting import MAX_CALL_NUMBERS, cut, estimate_tokens
from triptych_gateway.entries import Window
from triptych_gateway.matching import compare, rank_pairs, rank_vectors
from triptych_gateway.merging import analyzed, detokenized, pieced, tokens
from triptych_gateway.models.catalog import Catalog
from triptych_gateway.pairs import distinct_texts
from triptych_gateway.passage import Job, Passage
from triptych_gateway.plan import Plan
from triptych_gateway.reading import Reader, Reading
from triptych_gateway.seams import Calls, StageSet
from triptych_gateway.settings import Gathering
from triptych_gateway.tasks import (
    Analyzed,
    ChosenHead,
    Detokenized,
    EmbedOptions,
    Input,
    Origin,
    Pair,
    Pieced,
    Ranked,
    Ranking,
    Similarities,
    Task,
    TextOptions,
    TokenIds,
    Tokens,
    WindowOptions,
)
from triptych_gateway.windowing import Tally, Windowing
from triptych_servicekit.errors import DeadlineExceeded
from triptych_servicekit.together import in_lanes, together

T = TypeVar("T")
InputT = TypeVar("InputT", bound=Input)

# Parts of a request read in windows that are worked on at a time: the next is tokenized while one
# is encoded, and no more of them are held.
PARTS: Final = 2


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
        window = Window(limits.window_calls, limits.window_tokens, limits.call_tokens)
        self._passage = Passage(stages, calls, window)
        self._reader = Reader(self._passage, limits.call_tokens)
        self._admission = admission
        self._limits = limits

    @property
    def pending_tokens(self) -> int:
        """Tokens, by estimate, of what waits to go to the stages."""
        return self._passage.cohorts.pending_weight

    async def stop(self) -> None:
        """Cancel what is on its way."""
        await self._passage.cohorts.stop()

    def unready(self) -> Sequence[str]:
        """Models and stages that are missing."""
        problems = [f"no {name} is available" for name in self._stages.missing()]
        return problems if self.catalog.models() else [*problems, "no model is served"]

    async def analyze(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        tasks: Sequence[Task],
        origin: Origin,
    ) -> Analyzed:
        """See Platform."""
        job = Job(model, text, Plan.of(model, tasks), origin)
        if text.windows is not None:
            reading, parts = self._read(job, text.windows, inputs)
            answer = partial(documents.answer, self._reader, reading)
            return analyzed(model, await self._in_parts(reading, parts, answer, inputs))
        work = [self._passage.answer(job, part) for part in self._cut(inputs, job.plan)]
        chunks = await self._admitted(work, estimate_tokens(inputs, model.max_length), origin)
        return analyzed(model, chunks)

    async def pieces(
        self,
        model: Bundle,
        texts: Sequence[str],
        text: TextOptions,
        options: EmbedOptions,
        late: bool,
        origin: Origin,
    ) -> Pieced:
        """See Platform."""
        job = Job(model, text, Plan.of(model, [options]), origin)
        reading, parts = self._read(job, text.windows or WindowOptions(), texts)
        embed = partial(pieces.embed, self._reader, reading, late)
        return pieced(model, await self._in_parts(reading, parts, embed, texts))

    def _read(
        self, job: Job, options: WindowOptions, inputs: Sequence[InputT]
    ) -> tuple[Reading, list[Sequence[InputT]]]:
        """How inputs are read in windows, and in which parts."""
        windowing = Windowing.of(job.plan, job.text, options)
        tally = Tally(options.max_request_windows)
        parts = list(windowing.cut(inputs, self._limits.tokenizer_call_characters))
        return Reading(job, windowing, tally, self._admission.measure), parts

    async def _in_parts(
        self,
        reading: Reading,
        parts: Sequence[Sequence[InputT]],
        read: Callable[[Sequence[InputT]], Awaitable[T]],
        inputs: Sequence[InputT],
    ) -> list[T]:
        """What `read` makes of each part; others wait for no more than is on its way at a time."""
        tokens = min(reading.windowing.estimate(inputs), PARTS * self._reader.on_the_way)
        lanes = [in_lanes(PARTS, parts, read)]
        return (await self._admitted(lanes, tokens, reading.job.origin, measured=False))[0]

    async def similarity(
        self, model: Bundle, pairs: Sequence[Pair], text: TextOptions, origin: Origin
    ) -> Similarities:
        """See Platform."""
        texts = distinct_texts(pairs)
        job = Job(model, text, Plan(model, (pooled_output(model.pooling),)), origin)
        work = [compare(self._passage, job, self._cut(texts, job.plan), pairs)]
        estimate = estimate_tokens(texts, model.max_length)
        return (await self._admitted(work, estimate, origin))[0]

    async def rank(
        self,
        model: Bundle,
        head: ChosenHead | None,
        ranking: Ranking,
        text: TextOptions,
        origin: Origin,
    ) -> Ranked:
        """See Platform."""
        if head is None:
            return await self._rank_vectors(model, ranking, text, origin)
        pairs = [Pair(ranking.query, document) for document in ranking.documents]
        job = Job(model, text, Plan(model, (head.head.input,)), origin)
        work = [rank_pairs(self._passage, job, self._cut(pairs, job.plan), head, ranking)]
        estimate = estimate_tokens(pairs, model.max_length)
        return (await self._admitted(work, estimate, origin))[0]

    async def _rank_vectors(
        self, model: Bundle, ranking: Ranking, text: TextOptions, origin: Origin
    ) -> Ranked:
        documents = ranking.documents
        job = Job(model, text, Plan(model, (pooled_output(model.pooling),)), origin)
        work = [rank_vectors(self._passage, job, self._cut(documents, job.plan), ranking)]
        estimate = estimate_tokens([ranking.query, *documents], model.max_length)
        return (await self._admitted(work, estimate, origin))[0]

    async def tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> Tokens:
        """See Platform."""
        work = [
            self._passage.tokenize(model, text, part, origin)
            for part in self._cut(inputs, Plan(model, ()))
        ]
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
            self._passage.detokenize(model, part, include_special_tokens, origin)
            for part in self._cut(sequences, Plan(model, ()))
        ]
        return detokenized(model, await self._admitted(work, 0, origin))

    def _cut(self, inputs: Sequence[InputT], plan: Plan) -> list[Sequence[InputT]]:
        """Parts that fit a call of each stage however long their texts are."""
        limits = self._limits
        most = min(
            limits.max_call_tokens // plan.model.max_length,
            MAX_CALL_NUMBERS // max(1, plan.numbers()),
        )
        return list(cut(inputs, max(1, most), limits.max_call_characters))

    async def _admitted(
        self,
        work: "Sequence[Coroutine[Any, Any, T]]",
        estimate: int,
        origin: Origin,
        *,
        measured: bool = True,
    ) -> list[T]:
        """Run the parts of a request within its deadline."""
        try:
            with self._admission.admit(estimate, origin.deadline, measured=measured):
                async with asyncio.timeout(origin.deadline - time.monotonic()):
                    return await together(work)
        except TimeoutError:
            raise DeadlineExceeded("the request's time is over") from None
        finally:
            for part in work:
                part.close()  # those that were never begun
