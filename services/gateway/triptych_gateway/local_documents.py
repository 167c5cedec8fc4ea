"""Inputs read in windows, by the arithmetic of LocalPlatform."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.local_entities import find_entities
from triptych_gateway.local_tasks import finish, logits_of, pool, scores_of, token_vectors
from triptych_gateway.local_tokens import END, START, Part, Sequenced, tokenize
from triptych_gateway.tasks import (
    Classes,
    Classify,
    EmbedOptions,
    Input,
    Pair,
    Pieces,
    Task,
    TaskResult,
    TextOptions,
    WindowOptions,
)
from triptych_gateway.windowing import STRIDE_SHARE, TOO_MANY_WINDOWS
from triptych_servicekit.errors import InvalidArgument

NO_LIMIT = 2**31


@dataclass(frozen=True, slots=True)
class Document:
    """An input as a whole, and its windows, or why it has none."""

    whole: Sequenced
    windows: Sequence[Sequenced] = ()

    @property
    def sequenced(self) -> Sequenced:
        """The input, with the tokens of all its windows."""
        return replace(self.whole, ids=[number for one in self.windows for number in one.ids])


def read(model: Bundle, item: Input, text: TextOptions) -> Document:
    """An input in windows. Raises InvalidArgument for a stride that leaves them no room."""
    if isinstance(item, Pair):
        error = InvalidArgument("input is a pair, which cannot be cut into windows", field="input")
        return Document(Sequenced(0, error=error))
    whole = tokenize(model, item, replace(text, max_length=NO_LIMIT))
    options, length = text.windows or WindowOptions(), text.max_length or model.max_length
    stride = length // STRIDE_SHARE if options.stride is None else options.stride
    frame = 2 if whole.framed else 0
    room, count = length - frame, len(whole.ids) - frame
    if stride >= room:
        message = f"stride must be below {room}, a window's room for text"
        raise InvalidArgument(message, field="stride")
    starts = range(0, max(1, count - stride), room - stride)
    if options.max_windows and len(starts) > options.max_windows:
        message = f"input needs more than {options.max_windows} windows"
        error = InvalidArgument(message, reason=TOO_MANY_WINDOWS, field="input")
        return Document(Sequenced(whole.total, error=error))
    return Document(whole, [_window(whole, start, room) for start in starts])


def result_of(model: Bundle, done: Sequence[Document], task: Task) -> TaskResult:
    """The result of a task for the inputs that tokenized."""
    good = [document for document in done if document.whole.error is None]
    if isinstance(task, EmbedOptions):
        return np.stack([_embed(model, document, task) for document in good])
    if isinstance(task, Classify):
        return _classes(model, good, task)
    return find_entities(model.token_labels, [document.whole for document in done], task)


def pieces_of(
    model: Bundle, done: Sequence[Document], options: EmbedOptions, late: bool
) -> tuple[NDArray[Any], Pieces]:
    """Embeddings of the windows; those of an input that the model takes as a whole are `late`.

    Tokens know nothing of each other here, so that such a piece differs from a window only by the
    special tokens, of which it has none.
    """
    rows, places, lates = [], [], []
    for index, document in enumerate(done):
        own = late and len(document.whole.ids) <= model.max_length
        for window in document.windows:
            tokens = [place for place in window.places() if place.end > place.start]
            ids = window.ids[1:-1] if own and window.framed else window.ids
            vector = token_vectors(ids, model.hidden_size).mean(axis=0)
            rows.append(finish(model, vector if own else pool(model, ids, options), options))
            places.append((index, *((tokens[0].start, tokens[-1].end) if tokens else (0, 0))))
            lates.append(own)
    item, start, end = np.array(places, np.int32).T
    return np.stack(rows), Pieces(item, start, end, np.array(lates))


def _window(whole: Sequenced, start: int, room: int) -> Sequenced:
    """Its text begins with token `start` of the prompt and the text behind it."""
    inner = whole.ids[1:-1] if whole.framed else whole.ids
    ids = list(inner[start : start + room])
    prompt = min(max(0, whole.prompt - start), len(ids))
    part = Part(ids[prompt:], max(0, start - whole.prompt))
    framed = [START, *ids, END] if whole.framed else ids
    return Sequenced(whole.total, framed, prompt, [part], whole.framed)


def _embed(model: Bundle, document: Document, options: EmbedOptions) -> NDArray[Any]:
    vectors = [pool(model, one.ids, options) for one in document.windows]
    return finish(model, _mean(np.stack(vectors), document), options)


def _classes(model: Bundle, good: Sequence[Document], task: Classify) -> Classes:
    head, rows = task.head.head, []
    for document in good:
        logits = (logits_of(model, one.ids, head) for one in document.windows)
        scores = np.stack([scores_of(row, head, task.raw_scores) for row in logits])
        rows.append(scores.max(axis=0) if task.windows == "max" else _mean(scores, document))
    table = np.stack(rows)
    ids = np.argsort(-table, axis=1, kind="stable")[:, : task.width].astype(np.int32)
    return Classes(ids, np.take_along_axis(table, ids, axis=1), head.labels)


def _mean(rows: NDArray[np.float32], document: Document) -> NDArray[np.float32]:
    weights = [len(one.ids) for one in document.windows]
    return np.average(rows, axis=0, weights=weights).astype(np.float32)
