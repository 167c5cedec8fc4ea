"""What is refused before any work is done for it, on every edge alike."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from triptych_bundles.manifest import Bundle
from triptych_gateway.settings import Requests
from triptych_gateway.tasks import (
    Classify,
    Input,
    Pair,
    TagOptions,
    Task,
    TextOptions,
    TokenIds,
    WindowOptions,
)
from triptych_servicekit.errors import InvalidArgument, TriptychError

EMPTY_INPUT = "EMPTY_INPUT"
INPUT_TOO_LARGE = "INPUT_TOO_LARGE"
OUTPUT_TOO_LARGE = "OUTPUT_TOO_LARGE"

DEFAULTS = Requests()
# A code point is at most four bytes, and a token at least one of them.
MAX_TOKENS_PER_CHARACTER = 4


@dataclass(frozen=True, slots=True)
class Names:
    """What the items of a request are called in it, `{}` standing for their index.

    `first` and `second` are the texts of a pair; empty: the item's own name and theirs.
    """

    item: str
    first: str = ""
    second: str = ""

    def of(self, index: int) -> str:
        """The item itself."""
        return self.item.format(index)

    def parts(self, index: int) -> tuple[str, str]:
        """The two texts of an item that is a pair."""
        first = self.first or f"{self.item}.first"
        second = self.second or f"{self.item}.second"
        return first.format(index), second.format(index)


@dataclass(frozen=True, slots=True)
class Bounds:
    """Caps of one request. `max_characters` bounds the ids of an input as well."""

    max_inputs: int
    max_characters: int
    max_tasks: int = DEFAULTS.max_tasks
    max_scores: int = DEFAULTS.max_scores
    max_query_characters: int = DEFAULTS.max_query_characters
    max_windows: int = DEFAULTS.max_windows
    max_request_windows: int = DEFAULTS.max_request_windows

    @classmethod
    def of(cls, requests: Requests) -> "Bounds":
        """The caps that the settings name."""
        return cls(
            requests.max_client_batch_size,
            requests.max_input_characters,
            requests.max_tasks,
            requests.max_scores,
            requests.max_query_characters,
            requests.max_windows,
            requests.max_request_windows,
        )

    def check_count(self, count: int, field: str) -> None:
        """Raises InvalidArgument unless a request may have `count` items in `field`."""
        if not count:
            raise InvalidArgument(f"{field} must not be empty", reason=EMPTY_INPUT, field=field)
        if count > self.max_inputs:
            message = f"{field} has {count} items, at most {self.max_inputs} are allowed"
            raise InvalidArgument(message, reason="TOO_MANY_INPUTS", field=field)

    def of_windows(self, text: TextOptions) -> TextOptions:
        """The options with the bounds of windows, where inputs are read in windows."""
        if text.windows is None:
            return text
        limits = self.max_windows, self.max_request_windows
        return replace(text, windows=WindowOptions(text.windows.stride, *limits))

    def check_tasks(self, count: int) -> None:
        """Raises InvalidArgument unless a request may have `count` tasks."""
        if not count:
            raise InvalidArgument("tasks must not be empty", reason=EMPTY_INPUT, field="tasks")
        if count > self.max_tasks:
            message = f"tasks has {count} items, at most {self.max_tasks} are allowed"
            raise InvalidArgument(message, reason="TOO_MANY_TASKS", field="tasks")

    def check_results(
        self, model: Bundle, inputs: Sequence[Input], text: TextOptions, tasks: Sequence[Task]
    ) -> None:
        """Raises InvalidArgument where the tasks would make too many scores, all together."""
        scores = sum(_scores(model, inputs, text, task) for task in tasks)
        if scores > self.max_scores:
            message = (
                f"inputs: an answer would have up to {scores} scores of classes and tokens,"
                f" at most {self.max_scores} are allowed; send fewer inputs, or set top_k"
            )
            raise InvalidArgument(message, reason=OUTPUT_TOO_LARGE, field="inputs")

    def check_query(self, query: str, documents: int) -> None:
        """Raises InvalidArgument where a query is too long to be read with each of `documents`."""
        if len(query) * documents > self.max_query_characters:
            message = (
                f"query has {len(query)} characters and is read with each of {documents} documents,"
                f" at most {self.max_query_characters} in all are allowed"
            )
            raise InvalidArgument(message, reason=INPUT_TOO_LARGE, field="query")

    def refused(
        self, model: Bundle, items: Sequence[Input], names: Names
    ) -> Mapping[int, TriptychError]:
        """The items that break a bound, by index, and why."""
        found = {}
        for index, item in enumerate(items):
            error = self._refuse(model, item, index, names)
            if error is not None:
                found[index] = error
        return found

    def _refuse(
        self, model: Bundle, item: Input, index: int, names: Names
    ) -> InvalidArgument | None:
        # Naming a field costs more than checking it, and nearly all items are fine.
        if isinstance(item, str):
            return None if self._fits(item) else self._text_error(item, names.of(index))
        if isinstance(item, TokenIds):
            return self._refuse_ids(model, item.ids, names.of(index))
        if self._fits(item.first) and self._fits(item.second):
            return None
        return self._refuse_pair(item, *names.parts(index))

    def _fits(self, text: str) -> bool:
        return 0 < len(text) <= self.max_characters

    def _refuse_pair(self, pair: Pair, first: str, second: str) -> InvalidArgument:
        if self._fits(pair.first):
            return self._text_error(pair.second, second)
        return self._text_error(pair.first, first)

    def _text_error(self, text: str, field: str) -> InvalidArgument:
        if not text:
            return InvalidArgument(f"{field} must not be empty", reason=EMPTY_INPUT, field=field)
        return self._too_large(f"{len(text)} characters", field)

    def _too_large(self, size: str, field: str) -> InvalidArgument:
        message = f"{field} has {size}, at most {self.max_characters} are allowed"
        return InvalidArgument(message, reason=INPUT_TOO_LARGE, field=field)

    def _refuse_ids(self, model: Bundle, ids: Sequence[int], field: str) -> InvalidArgument | None:
        if not ids:
            return InvalidArgument(f"{field} must not be empty", reason=EMPTY_INPUT, field=field)
        if len(ids) > self.max_characters:
            return self._too_large(f"{len(ids)} token ids", field)
        if min(ids) < 0 or max(ids) >= model.vocab_size:
            message = f"{field}: token ids must be from 0 to {model.vocab_size - 1}"
            return InvalidArgument(message, field=field)
        return None


def _scores(model: Bundle, inputs: Sequence[Input], text: TextOptions, task: Task) -> int:
    """Scores that a task makes, at most: one for each class of an input, and for each token."""
    if isinstance(task, Classify):
        return len(inputs) * task.width
    if isinstance(task, TagOptions):
        # in windows nothing is cut, and what they share is answered for once
        limit = math.inf if text.windows else text.max_length or model.max_length
        return sum(int(min(limit, MAX_TOKENS_PER_CHARACTER * _length(item))) for item in inputs)
    return 0


def _length(item: Input) -> int:
    """Characters or ids."""
    if isinstance(item, Pair):
        return len(item.first) + len(item.second)
    return len(item) if isinstance(item, str) else len(item.ids)
