"""Requests held against the bounds; what is left of them goes to the platform."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.bounds import Names
from triptych_gateway.columns import empty_result, no_pieces
from triptych_gateway.guard_tokens import TokenGuard
from triptych_gateway.models.target import Target
from triptych_gateway.options import (
    all_ready,
    check_embed,
    check_late,
    check_text,
    ranking_head,
    ready,
)
from triptych_gateway.pairs import distinct_texts
from triptych_gateway.spreading import (
    merged,
    no_usage,
    raise_first,
    usage_by_text,
    without,
)
from triptych_gateway.tasks import (
    Analyzed,
    Classes,
    Classified,
    ClassifyOptions,
    Embedded,
    EmbedOptions,
    Entities,
    Input,
    Origin,
    Pair,
    Pieced,
    Ranked,
    Ranking,
    Similarities,
    Tagged,
    TagOptions,
    Task,
    TaskOptions,
    TextOptions,
)

MakeReady = Callable[[Target], Sequence[Task]]


@dataclass(frozen=True, slots=True)
class Guard(TokenGuard):
    """What every edge asks instead of the platform itself.

    Items that break a bound never get there; the others are answered, and all errors come back
    under the names that the request gave its items. What a request asks is made ready for the
    target that answers it, which may be another one than it was meant for.
    """

    async def embed(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        options: EmbedOptions,
        origin: Origin,
        *,
        all_or_none: bool = False,
    ) -> Embedded:
        """Embeddings; with `all_or_none` the first error of an item is raised instead."""
        found = await self._done(
            target, inputs, names, text, self._one(options), origin, all_or_none
        )
        embeddings = cast("NDArray[Any]", found.results[0])
        return Embedded(embeddings=embeddings, **found.common())

    async def pieces(
        self,
        target: Target,
        texts: Sequence[str],
        names: Names,
        text: TextOptions,
        options: EmbedOptions,
        late: bool,
        origin: Origin,
    ) -> Pieced:
        """Embeddings of pieces of texts."""
        text = self.bounds.of_windows(text)
        check_text(target.model, text)
        check_embed(target.model, options)
        if late:
            check_late(target.model, options)

        def ask(to: Target, good: Sequence[str]) -> Awaitable[Pieced]:
            return self.platform.pieces(to.model, good, text, options, late, origin)

        return await self.each(target, texts, names, ask, partial(no_pieces, target.model, options))

    async def classify(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        options: ClassifyOptions,
        origin: Origin,
    ) -> Classified:
        """Classes."""
        found = await self._done(target, inputs, names, text, self._one(options), origin)
        return Classified(classes=cast("Classes", found.results[0]), **found.common())

    async def tag(
        self,
        target: Target,
        inputs: Sequence[str],
        names: Names,
        text: TextOptions,
        options: TagOptions,
        origin: Origin,
    ) -> Tagged:
        """Entities, with what the texts say there."""
        found = await self._done(target, inputs, names, text, self._one(options), origin)
        return Tagged(entities=cast("Entities", found.results[0]), **found.common())

    async def analyze(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        tasks: Sequence[TaskOptions],
        origin: Origin,
    ) -> Analyzed:
        """Several tasks; where one of them is to tag, the inputs are texts."""
        self.bounds.check_tasks(len(tasks))
        catalog = self.platform.catalog
        return await self._done(
            target, inputs, names, text, lambda to: all_ready(catalog, to, tasks), origin
        )

    async def rank(
        self, target: Target, ranking: Ranking, names: Names, text: TextOptions, origin: Origin
    ) -> Ranked:
        """A ranking. Raises what is wrong with the query; documents fail alone."""
        check_text(target.model, text)
        head = ranking_head(target)
        raise_first(self.bounds.refused(target.model, [ranking.query], Names("query")))
        if head is not None:
            self.bounds.check_query(ranking.query, len(ranking.documents))

        def ask(to: Target, good: Sequence[str]) -> Awaitable[Ranked]:
            asked = replace(ranking, documents=good)
            return self.platform.rank(to.model, ranking_head(to), asked, text, origin)

        nothing = partial(
            Ranked,
            model=target.model,
            document_index=np.empty(0, np.int32),
            scores=np.empty(0, np.float32),
        )
        before = 0 if head else 1
        return await self.each(target, ranking.documents, names, ask, nothing, before=before)

    async def similarity(
        self, target: Target, pairs: Sequence[Pair], names: Names, text: TextOptions, origin: Origin
    ) -> Similarities:
        """Similarities; a text that only refused pairs have counts no tokens."""
        check_text(target.model, text)
        check_embed(target.model, EmbedOptions())
        refused = self.bounds.refused(target.model, pairs, names)
        good = without(pairs, refused)
        if not good:
            usage = no_usage(len(distinct_texts(pairs)))
            nothing = np.empty(0, np.float32)
            return Similarities(model=target.model, scores=nothing, usage=usage, errors=refused)
        found = await self.ask(
            target, lambda to: self.platform.similarity(to.model, good, text, origin)
        )
        if not refused and not found.errors:
            return found
        errors = merged(refused, found.errors, len(pairs), names)
        return replace(found, errors=errors, usage=usage_by_text(found.usage, good, pairs))

    def _one(self, options: TaskOptions) -> MakeReady:
        return lambda to: [ready(self.platform.catalog, to, options)]

    async def _done(
        self,
        target: Target,
        inputs: Sequence[Input],
        names: Names,
        text: TextOptions,
        tasks: MakeReady,
        origin: Origin,
        all_or_none: bool = False,
    ) -> Analyzed:
        """The results of the tasks that are made ready for whichever target answers."""
        text = self.bounds.of_windows(text)
        check_text(target.model, text)
        planned = tasks(target)
        self.bounds.check_results(target.model, inputs, text, planned)

        def ask(to: Target, good: Sequence[Input]) -> Awaitable[Analyzed]:
            return self.platform.analyze(to.model, good, text, tasks(to), origin)

        def nothing(**rest: Any) -> Analyzed:
            results = [empty_result(target.model, task) for task in planned]
            return Analyzed(model=target.model, results=results, **rest)

        found = await self.each(target, inputs, names, ask, nothing, all_or_none)
        return found.quoting(inputs)
