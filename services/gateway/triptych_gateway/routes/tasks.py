"""The /api/v1 routes that make classes, entities and rankings, and several things at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.guard import Guard
from triptych_gateway.routes.answers import VECTOR_FORMATS, Entry, entries, native
from triptych_gateway.routes.bodies import MAX_QUOTED, parse, validated
from triptych_gateway.routes.exchange import Answer, Cost, Exchange
from triptych_gateway.routes.failures import item_error
from triptych_gateway.routes.inputs import read_inputs, read_plain_texts
from triptych_gateway.routes.options import (
    classify_options,
    tag_options,
    task_options,
    text_options,
)
from triptych_gateway.routes.task_entries import (
    class_entries,
    embedding_entries,
    entity_entries,
    rank_entries,
)
from triptych_gateway.routes.task_schemas import (
    TASKS,
    AnalyzeBody,
    AnyTask,
    ClassifyBody,
    EmbedTask,
    RankBody,
    TagBody,
    TagTask,
)
from triptych_gateway.spreading import raise_first
from triptych_gateway.tasks import (
    Analyzed,
    Answered,
    Classes,
    Entities,
    Ranked,
    Ranking,
    RankOptions,
    TaskResult,
)
from triptych_servicekit.errors import InvalidArgument


@dataclass(frozen=True, slots=True)
class TaskRoutes:
    """Endpoints."""

    guard: Guard

    async def classify(self, exchange: Exchange) -> Answer:
        """The classes of each input."""
        body = parse(ClassifyBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        inputs, names = read_inputs(body.take("inputs"), "inputs", self.guard.bounds)
        found = await self.guard.classify(
            target, inputs, names, text_options(body), classify_options(body), exchange.origin()
        )
        return _answer(found, len(inputs), class_entries(found.classes))

    async def tag(self, exchange: Exchange) -> Answer:
        """The entities in each text."""
        body = parse(TagBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        inputs, names = read_plain_texts(body.take("inputs"), "inputs", self.guard.bounds)
        found = await self.guard.tag(
            target, inputs, names, text_options(body), tag_options(body), exchange.origin()
        )
        good = _good(found, len(inputs))
        return _answer(found, len(inputs), entity_entries(found.entities, good))

    async def rank(self, exchange: Exchange) -> Answer:
        """The documents by their relevance to the query."""
        body = parse(RankBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        self.guard.bounds.check_count(len(body.documents), "documents")
        options = RankOptions(body.top_n or 0, body.raw_scores)
        found = await self.guard.rank(
            target,
            Ranking(body.query, body.documents, options),
            Names("documents[{}]", "query", "documents[{}]"),
            text_options(body),
            exchange.origin(),
        )
        return _ranking(found, body)

    async def analyze(self, exchange: Exchange) -> Answer:
        """The results of several tasks for each input, of one pass through the encoder."""
        body = parse(AnalyzeBody, exchange.take_content(), self.guard.bounds)
        target = self.guard.platform.catalog.resolve(body.model)
        tasks = _read_tasks(body.tasks, self.guard.bounds)
        tagging = any(isinstance(task, TagTask) for task in tasks)
        read = read_plain_texts if tagging else read_inputs
        inputs, names = read(body.take("inputs"), "inputs", self.guard.bounds)
        found = await self.guard.analyze(
            target,
            inputs,
            names,
            text_options(body),
            list(map(task_options, tasks)),
            exchange.origin(),
        )
        return _answer(found, len(inputs), _results(found, tasks, len(inputs)))


def _answer(found: Answered, count: int, rows: Iterator[Entry]) -> Answer:
    """An entry for each of `count` inputs; where all have failed, the first error."""
    if len(found.errors) == count:
        raise_first(found.errors)
    cost = Cost.of(found.usage, found.errors)
    data = entries(count, found.errors, rows)
    for index in cost.cut:
        data[index]["truncated"] = True
    return native(found.model, data, cost, found.timing)


def _good(found: Answered, count: int) -> list[int]:
    return [index for index in range(count) if index not in found.errors]


def _ranking(found: Ranked, body: RankBody) -> Answer:
    """Documents that were ranked, then those that failed."""
    count = len(body.documents)
    if len(found.errors) == count:
        raise_first(found.errors)
    before = len(found.usage.total_tokens) - count
    failed = [index + before for index in found.errors]
    cost = Cost.of(found.usage, failed)
    # a query that was cut is part of every comparison, as it is of a cross-encoder's pairs
    whole_query = min(cost.cut, default=before) >= before
    cut = {row - before for row in cost.cut} if whole_query else set(range(count))
    data = [
        {**entry, "truncated": True} if entry["index"] in cut else entry
        for entry in rank_entries(found, body.documents, body.return_documents)
    ]
    errors = [{"index": index, "error": item_error(found.errors[index])} for index in found.errors]
    return native(found.model, [*data, *errors], cost, found.timing)


def _read_tasks(values: Sequence[Any], bounds: Bounds) -> list[AnyTask]:
    bounds.check_tasks(len(values))
    return [_task(value, f"tasks[{index}]") for index, value in enumerate(values)]


def _task(value: object, field: str) -> AnyTask:
    if not isinstance(value, dict):
        raise InvalidArgument(f"{field} must be an object", field=field)
    kind = value.get("type")
    if not isinstance(kind, str) or kind not in TASKS:
        known = ", ".join(TASKS)
        message = f"{field}.type must be one of {known}"
        raise InvalidArgument(message, field=f"{field}.type"[:MAX_QUOTED])
    return validated(TASKS[kind], value, field)


def _results(found: Analyzed, tasks: Sequence[AnyTask], count: int) -> Iterator[Entry]:
    good = _good(found, count)
    columns = [_rows(task, result, good) for task, result in zip(tasks, found.results, strict=True)]
    for row in zip(*columns, strict=True):
        yield {"results": list(row)}


def _rows(task: AnyTask, result: TaskResult, good: Sequence[int]) -> Iterator[Entry]:
    """Results of one task, each beside its type."""
    if isinstance(result, Classes):
        rows = class_entries(result)
    elif isinstance(result, Entities):
        rows = entity_entries(result, good)
    else:
        assert isinstance(task, EmbedTask)  # noqa: S101 (nothing else makes embeddings)
        rows = embedding_entries(result, VECTOR_FORMATS[task.encoding_format])
    return ({"type": task.type, **row} for row in rows)
