"""The whole platform in one process, by arithmetic: for tests and for measuring the edges alone.

A character is a token, its id the code point after three special ones. What is made of the ids is
in `local_tasks`, and simple enough that every answer can be checked by hand.
"""

import asyncio
import time
from collections.abc import Sequence

import numpy as np

from triptych_bundles.manifest import Bundle, HeadBundle
from triptych_gateway.columns import empty_result, no_pieces
from triptych_gateway.local_answers import (
    MakeResult,
    column,
    document_maker,
    errors_of,
    maker,
    read_ranking,
    usage_of,
)
from triptych_gateway.local_bundles import local_bundle
from triptych_gateway.local_documents import pieces_of, read
from triptych_gateway.local_tasks import cosine, relevance, token_vectors
from triptych_gateway.local_tokens import Sequenced, decode, tokenize
from triptych_gateway.models.catalog import Catalog
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
    Timing,
    TokenIds,
    Tokens,
)
from triptych_servicekit.errors import DeadlineExceeded, Overloaded, Unavailable

__all__ = ["LocalPlatform", "local_bundle", "token_vectors"]


class LocalPlatform:
    """A Platform without stages.

    It takes `seconds_per_token` over its answers, is full at `max_concurrent` requests, and cannot
    be reached while `problems` says why.
    """

    def __init__(
        self,
        bundles: Sequence[Bundle],
        heads: Sequence[HeadBundle] = (),
        *,
        max_concurrent: int = 4096,
        seconds_per_token: float = 0.0,
    ) -> None:
        self.catalog = Catalog(bundles, heads)
        self.problems: list[str] = []
        self.in_progress = 0
        self.cancelled = 0
        self._max_concurrent = max_concurrent
        self._seconds_per_token = seconds_per_token

    def unready(self) -> Sequence[str]:
        """The problems."""
        return self.problems

    async def analyze(
        self,
        model: Bundle,
        inputs: Sequence[Input],
        text: TextOptions,
        tasks: Sequence[Task],
        origin: Origin,
    ) -> Analyzed:
        """The results for the inputs that tokenize."""
        make: MakeResult
        if text.windows:
            documents = [read(model, item, text) for item in inputs]
            done = [document.sequenced for document in documents]
            make = document_maker(documents)
        else:
            done = [tokenize(model, item, text) for item in inputs]
            make = maker(done)
        timing = await self._work(done, origin)
        errors = errors_of(done)
        if len(errors) == len(done):
            make = empty_result
        results = [make(model, task) for task in tasks]
        return Analyzed(
            model=model, results=results, usage=usage_of(done), errors=errors, timing=timing
        )

    async def pieces(
        self,
        model: Bundle,
        texts: Sequence[str],
        text: TextOptions,
        options: EmbedOptions,
        late: bool,
        origin: Origin,
    ) -> Pieced:
        """Embeddings of the windows of the texts that tokenize."""
        documents = [read(model, item, text) for item in texts]
        done = [document.sequenced for document in documents]
        timing = await self._work(done, origin)
        usage, errors = usage_of(done), errors_of(done)
        if len(errors) == len(done):
            return no_pieces(model, options, usage=usage, errors=errors, timing=timing)
        embeddings, pieces = pieces_of(model, documents, options, late)
        return Pieced(
            model=model,
            embeddings=embeddings,
            pieces=pieces,
            usage=usage,
            errors=errors,
            timing=timing,
        )

    async def rank(
        self,
        model: Bundle,
        head: ChosenHead | None,
        ranking: Ranking,
        text: TextOptions,
        origin: Origin,
    ) -> Ranked:
        """The documents that tokenize, or pair with the query."""
        query, done = read_ranking(model, head, ranking, text)
        timing = await self._work([*query, *done], origin)
        raw = ranking.options.raw_scores
        scores = {
            index: relevance(model, item.ids, head, raw)
            if head
            else cosine(model, query[0].ids, item.ids)
            for index, item in enumerate(done)
            if item.error is None
        }
        best = sorted(scores, key=lambda index: -scores[index])[: ranking.options.top_n or None]
        return Ranked(
            model=model,
            document_index=column(best),
            scores=np.array([scores[index] for index in best], np.float32),
            usage=usage_of([*query, *done]),
            errors=errors_of(done),
            timing=timing,
        )

    async def similarity(
        self, model: Bundle, pairs: Sequence[Pair], text: TextOptions, origin: Origin
    ) -> Similarities:
        """Cosines of the pairs whose texts both tokenize."""
        distinct = list(dict.fromkeys(side for pair in pairs for side in (pair.first, pair.second)))
        done = [tokenize(model, item, text) for item in distinct]
        timing = await self._work(done, origin)
        by_text = dict(zip(distinct, done, strict=True))
        scores, errors = [], {}
        for index, pair in enumerate(pairs):
            first, second = by_text[pair.first], by_text[pair.second]
            error = first.error or second.error
            if error:
                errors[index] = error
            else:
                scores.append(cosine(model, first.ids, second.ids))
        return Similarities(
            model=model,
            scores=np.array(scores, np.float32),
            usage=usage_of(done),
            errors=errors,
            timing=timing,
        )

    async def tokenize(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, origin: Origin
    ) -> Tokens:
        """Tokens of the inputs that are not too long."""
        done = [tokenize(model, item, text) for item in inputs]
        timing = await self._work(done, origin)
        good = [item for item in done if item.error is None]
        places = [place for item in good for place in item.places()]
        offsets = [(place.start, place.end) for place in places]
        return Tokens(
            model=model,
            input_ids=column([number for item in good for number in item.ids]),
            lengths=column([len(item.ids) for item in good]),
            usage=usage_of(done),
            token_type_ids=column([place.type_id for place in places]),
            offsets=column(offsets).reshape(-1, 2) if text.layout else None,
            special_tokens_mask=column([place.special for place in places])
            if text.layout
            else None,
            errors=errors_of(done),
            timing=timing,
        )

    async def detokenize(
        self,
        model: Bundle,
        sequences: Sequence[TokenIds],
        include_special_tokens: bool,
        origin: Origin,
    ) -> Detokenized:
        """The characters behind the ids."""
        timing = await self._work([], origin)
        texts = [decode(sequence.ids, include_special_tokens) for sequence in sequences]
        return Detokenized(model, texts, {}, timing)

    async def _work(self, done: Sequence[Sequenced], origin: Origin) -> Timing:
        """Take the time that so many tokens take, or fail as a real platform would."""
        if self.problems:
            raise Unavailable("the platform is starting or stopping", retry_after=1.0)
        if self.in_progress >= self._max_concurrent:
            message = f"{self._max_concurrent} requests are in progress"
            raise Overloaded(message, retry_after=0.5)
        seconds = self._seconds_per_token * sum(len(item.ids) for item in done)
        left = origin.deadline - time.monotonic()
        self.in_progress += 1
        try:
            if seconds:
                await asyncio.sleep(max(0.0, min(seconds, left)))
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.in_progress -= 1
        if seconds >= left:
            raise DeadlineExceeded("the request's time ended before its answer was ready")
        return Timing(encode=seconds)
