"""What LocalPlatform makes of token ids, by arithmetic that can be checked by hand.

The vector of a token is a row of a table of small whole numbers. Logits of a class are the first
numbers of the raw pooled vector. A token is tagged by its character: see TOKEN_LABELS.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle, Head, pooled_output
from triptych_gateway.local_entities import find_entities
from triptych_gateway.local_tokens import Sequenced
from triptych_gateway.tasks import (
    ChosenHead,
    Classes,
    Classify,
    EmbedOptions,
    Task,
    TaskResult,
)

TABLE_ROWS: Final = 64
INT8_MAX: Final = 127

_TABLES: Final[dict[int, NDArray[np.float32]]] = {}


def token_vectors(ids: Sequence[int], dimensions: int) -> NDArray[np.float32]:
    """Row t, column d: ((id + 1) * (d + 1)) % 31 - 15, the id taken modulo TABLE_ROWS."""
    return _table(dimensions)[[number % TABLE_ROWS for number in ids]]


def result_of(model: Bundle, done: Sequence[Sequenced], task: Task) -> TaskResult:
    """The result of a task for the inputs that tokenized."""
    good = [item for item in done if item.error is None]
    if isinstance(task, EmbedOptions):
        return np.stack([embed(model, item.ids, task) for item in good])
    if isinstance(task, Classify):
        return _classes(model, good, task)
    return find_entities(model.token_labels, done, task)


def embed(model: Bundle, ids: Sequence[int], options: EmbedOptions) -> NDArray[Any]:
    """The embedding of a sequence."""
    return finish(model, pool(model, ids, options), options)


def pool(model: Bundle, ids: Sequence[int], options: EmbedOptions) -> NDArray[np.float32]:
    """The raw vector of a sequence."""
    return _pooled(model, ids, options.pooling or model.pooling)


def finish(model: Bundle, vector: NDArray[np.float32], options: EmbedOptions) -> NDArray[Any]:
    """The embedding that is made of a raw vector."""
    vector = vector[: options.dimensions or None]
    normalize = model.normalize if options.normalize is None else options.normalize
    if normalize:
        vector = vector / math.sqrt(vector @ vector)
    if options.dtype == "int8":
        scaled: NDArray[np.float32] = vector * (INT8_MAX / np.abs(vector).max())
        return np.rint(scaled).astype(np.int8)
    if options.dtype == "uint8":
        return np.packbits(vector > 0)
    return vector.astype(options.dtype, copy=False)


def cosine(model: Bundle, first: Sequence[int], second: Sequence[int]) -> float:
    """Of two sequences."""
    options = EmbedOptions(normalize=True)
    return float(embed(model, first, options) @ embed(model, second, options))


def relevance(model: Bundle, ids: Sequence[int], head: ChosenHead, raw: bool) -> float:
    """What a head of one label makes of a pair."""
    return float(scores_of(logits_of(model, ids, head.head), head.head, raw)[0])


def _classes(model: Bundle, good: Sequence[Sequenced], task: Classify) -> Classes:
    head = task.head.head
    logits = [logits_of(model, item.ids, head) for item in good]
    scores = np.stack([scores_of(row, head, task.raw_scores) for row in logits])
    ids = np.argsort(-scores, axis=1, kind="stable")[:, : task.width].astype(np.int32)
    return Classes(ids, np.take_along_axis(scores, ids, axis=1), head.labels)


def logits_of(model: Bundle, ids: Sequence[int], head: Head) -> NDArray[np.float32]:
    """The first numbers of a raw vector."""
    pooling = head.input.removeprefix(pooled_output("")) if head.layers else model.pooling
    return _pooled(model, ids, pooling)[: len(head.labels)]


def scores_of(logits: NDArray[np.float32], head: Head, raw: bool) -> NDArray[np.float32]:
    """What the head makes of them."""
    if raw or head.problem_type == "regression":
        return logits
    exact = logits.astype(np.float64)
    if head.problem_type == "single_label_classification" and len(logits) > 1:
        powers = np.exp(exact - exact.max())
        exact = powers / powers.sum()
    else:
        exact = 1 / (1 + np.exp(-exact))
    return exact.astype(np.float32)


def _table(dimensions: int) -> NDArray[np.float32]:
    if dimensions not in _TABLES:
        products = np.outer(np.arange(1, TABLE_ROWS + 1), np.arange(1, dimensions + 1))
        _TABLES[dimensions] = (products % 31 - 15).astype(np.float32)
    return _TABLES[dimensions]


def _pooled(model: Bundle, ids: Sequence[int], pooling: str) -> NDArray[np.float32]:
    if pooling == "mean":
        total: NDArray[np.float32] = token_vectors(ids, model.hidden_size).sum(axis=0)
        return total / np.float32(len(ids))
    return token_vectors(ids[:1] if pooling == "cls" else ids[-1:], model.hidden_size).ravel()
