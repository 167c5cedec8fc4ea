"""What LocalPlatform's answers are made of."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway import local_documents
from triptych_gateway.local_documents import Document
from triptych_gateway.local_tasks import result_of
from triptych_gateway.local_tokens import Sequenced, tokenize
from triptych_gateway.matching import prompts_of_ranking
from triptych_gateway.naming import under_name
from triptych_gateway.tasks import (
    ChosenHead,
    Pair,
    Ranking,
    Task,
    TaskResult,
    TextOptions,
    Usage,
)
from triptych_servicekit.errors import TriptychError

MakeResult = Callable[[Bundle, Task], TaskResult]


def maker(done: Sequence[Sequenced]) -> MakeResult:
    """What each task makes of inputs."""
    return lambda model, task: result_of(model, done, task)


def document_maker(done: Sequence[Document]) -> MakeResult:
    """What each task makes of inputs read in windows."""
    return lambda model, task: local_documents.result_of(model, done, task)


def read_ranking(
    model: Bundle, head: ChosenHead | None, ranking: Ranking, text: TextOptions
) -> tuple[list[Sequenced], list[Sequenced]]:
    """The query and the documents; for a head nothing, and the documents with the query."""
    if head:
        pairs = [Pair(ranking.query, document) for document in ranking.documents]
        return [], [tokenize(model, pair, text) for pair in pairs]
    ask, answer = prompts_of_ranking(model, text)
    query = tokenize(model, ranking.query, ask)
    if query.error:
        raise under_name(query.error, "query")
    return [query], [tokenize(model, document, answer) for document in ranking.documents]


def usage_of(done: Sequence[Sequenced]) -> Usage:
    """Tokens of inputs."""
    total = np.array([item.total for item in done], np.int32)
    return Usage(total, np.array([len(item.ids) for item in done], np.int32))


def errors_of(done: Sequence[Sequenced]) -> dict[int, TriptychError]:
    """Those of inputs that have one."""
    return {index: item.error for index, item in enumerate(done) if item.error is not None}


def column(values: Sequence[Any]) -> NDArray[np.int32]:
    """int32."""
    return np.array(values, np.int32)
