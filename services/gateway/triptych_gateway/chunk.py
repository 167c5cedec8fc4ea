"""Inputs on their way through the stages, and what these have made of them so far."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate, repeat
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import TOKEN_LOGITS_OUTPUT
from triptych_gateway.columns import divide, split, sum_runs
from triptych_gateway.entries import Callers, Entry
from triptych_gateway.layout import Layout
from triptych_gateway.tasks import TaskResult, Timing, Usage
from triptych_gateway.tasks.results import place
from triptych_gateway.work import (
    SEGMENTS,
    AnswerResult,
    AnswerWork,
    Arrays,
    EncodeResult,
    EncodeWork,
    Errors,
    TokenizeResult,
)
from triptych_servicekit.errors import DeadlineExceeded, TriptychError

Positions = NDArray[np.int64]
NO_SEQUENCES: Final = EncodeWork(np.empty(0, np.int32), np.empty(0, np.int32), None)


@dataclass(slots=True)
class Chunk:
    """Inputs of one request, or of several that go together: `callers` are runs over them.

    `usage` has a row for every input, `timings` one for every caller. The rest is of the inputs
    without error, whose indices are `positions`, None while all are: `sequences` go to the encoder,
    `arrays` are its `outputs`, and `results` those of the tasks, None until there are any.
    """

    callers: Callers
    usage: Usage
    timings: list[Timing]
    errors: dict[int, TriptychError] = field(default_factory=dict)
    positions: Positions | None = None
    arrays: Arrays = ()
    layout: Layout | None = None
    results: Sequence[TaskResult] | None = None
    sequences: EncodeWork = NO_SEQUENCES
    outputs: Sequence[str] = ()

    @classmethod
    def of(cls, entries: Sequence[Entry[Any, Any]], tokenized: TokenizeResult) -> "Chunk":
        """What has been tokenized."""
        callers = [caller for entry in entries for caller in entry.callers]
        usage = Usage(tokenized.total_tokens, tokenized.kept_tokens)
        sequences = EncodeWork(tokenized.input_ids, tokenized.lengths, tokenized.token_type_ids)
        timings = [
            Timing(tokenize=time.compute, queue=entry.held + time.queue)
            for entry, time in zip(entries, tokenized.times, strict=True)
        ]
        chunk = cls(callers, usage, timings, sequences=sequences)
        chunk.fail(tokenized.errors)
        return chunk

    @classmethod
    def ready(cls, entries: Sequence[Entry[Any, Any]], sequences: EncodeWork) -> "Chunk":
        """What comes as sequences."""
        callers = [caller for entry in entries for caller in entry.callers]
        timings = [Timing(queue=entry.held) for entry in entries]
        usage = Usage(sequences.lengths, sequences.lengths)
        return cls(callers, usage, timings, sequences=sequences)

    def __len__(self) -> int:
        """Inputs without error."""
        return self.size if self.positions is None else len(self.positions)

    @property
    def size(self) -> int:
        """Inputs with and without error."""
        return len(self.usage.total_tokens)

    @property
    def timing(self) -> Timing:
        """That of its only caller."""
        return self.timings[0]

    def living(self) -> Callers:
        """The callers with their numbers of inputs without error."""
        if self.positions is None:
            return self.callers
        ends = np.searchsorted(self.positions, list(accumulate(_counts(self.callers))))
        counts = np.diff(ends, prepend=0).tolist()
        return [(origin, n) for (origin, _), n in zip(self.callers, counts, strict=True)]

    def keep_layout(self, tokens: TokenizeResult) -> None:
        """Keep where the tokens are, for tasks that read it.

        Tokens of a prompt are of no word of the text, and are made out to be special ones.
        """
        offsets, words, mask = tokens.offsets, tokens.word_ids, tokens.special_tokens_mask
        if offsets is None or words is None or mask is None:
            return
        self.layout = Layout(tokens.lengths, offsets, words, mask | (words < 0).astype(np.int32))

    def leave(self, gone: Collection[int]) -> None:
        """Some callers wait no more: nothing is computed for them from now on."""
        if not gone:
            return
        owners = np.repeat(np.arange(len(self.callers)), _counts(self.living()))
        left = np.flatnonzero(np.isin(owners, list(gone)))
        self.sequences = self.sequences.without(left)
        if self.layout is not None:
            self.layout = self.layout.without(left)
        self.fail(dict.fromkeys(left.tolist(), DeadlineExceeded("nobody waits for it")))

    def answer_work(self) -> AnswerWork:
        """What goes to postprocess."""
        return AnswerWork(self.arrays, len(self), self.layout)

    def take_outputs(self, outputs: Sequence[str], encoded: EncodeResult, held: float) -> None:
        """The encoder has answered, for what was held so many seconds."""
        for timing, time in zip(self.timings, encoded.times, strict=True):
            timing.encode = time.compute
            timing.queue += held + time.queue
        self.outputs, self.arrays = outputs, encoded.arrays
        if encoded.errors:
            self.sequences = self.sequences.without(list(encoded.errors))
            if self.layout is not None:
                self.layout = self.layout.without(list(encoded.errors))
            self.fail(encoded.errors)

    def take_answer(self, answer: AnswerResult, held: float) -> None:
        """Postprocess has answered."""
        for timing, time in zip(self.timings, answer.times, strict=True):
            timing.postprocess = time.compute
            timing.queue += held + time.queue
        places = self.positions
        self.results = (
            answer.results
            if places is None
            else [place(result, places) for result in answer.results]
        )
        self.fail(answer.errors)
        self.arrays, self.layout, self.sequences = (), None, NO_SEQUENCES

    def spend(self, time: Timing) -> None:
        """Its only caller's time on the way to the encoder and in it."""
        self.timing.queue += time.queue
        self.timing.encode += time.encode

    def spent(self) -> Usage:
        """Tokens of every input; nothing was kept of those that failed."""
        if not self.errors:
            return self.usage
        kept = self.usage.kept_tokens.copy()
        kept[list(self.errors)] = 0
        return Usage(self.usage.total_tokens, kept)

    def split(self) -> "list[Chunk]":
        """A chunk for each caller, of what is still needed."""
        if len(self.callers) == 1:
            return [self]
        counts, living = _counts(self.callers), _counts(self.living())
        total, kept = self.usage.total_tokens, self.usage.kept_tokens
        columns = (
            [[caller] for caller in self.callers],
            map(Usage, split(total, counts), split(kept, counts)),
            [[timing] for timing in self.timings],
            _split_errors(self.errors, counts),
            self._split_positions(counts, living),
            *self._split_outputs(counts, living),
        )
        return [Chunk(*parts) for parts in zip(*columns, strict=True)]

    def _split_positions(
        self, counts: Sequence[int], living: Sequence[int]
    ) -> Iterable[Positions | None]:
        if self.positions is None:
            return repeat(None, len(counts))
        starts = _starts(counts)
        parts = split(self.positions, living)
        return [part - start for part, start in zip(parts, starts, strict=True)]

    def _split_outputs(
        self, counts: Sequence[int], living: Sequence[int]
    ) -> tuple[Iterable[Any], ...]:
        """Results; or without any what they can be made of."""
        nothing: list[Any] = [None] * len(counts)
        if self.results is not None:
            parts = zip(*(divide(result, counts, living) for result in self.results), strict=True)
            return [()] * len(counts), nothing, parts
        tokens = sum_runs(self.sequences.lengths, living)
        rows = {TOKEN_LOGITS_OUTPUT: tokens}
        if SEGMENTS in self.outputs:
            rows[SEGMENTS] = sum_runs(self.sequences.segment_counts(), living)
        arrays = [
            split(array, rows.get(output, living))
            for output, array in zip(self.outputs, self.arrays, strict=True)
        ]
        layouts = self.layout.split(living, tokens) if self.layout else nothing
        return zip(*arrays, strict=True) if arrays else [()] * len(counts), layouts, nothing

    def places(self) -> Positions:
        """Indices of the inputs without error."""
        return np.arange(self.size) if self.positions is None else self.positions

    def fail(self, errors: Errors) -> None:
        """Inputs have failed; their errors are counted from those that were without."""
        if not errors:
            return
        places = self.places()
        for index, error in errors.items():
            self.errors[int(places[index])] = error
        self.positions = np.delete(places, sorted(errors))


def _counts(callers: Callers) -> list[int]:
    return [count for _, count in callers]


def _starts(counts: Sequence[int]) -> Iterable[int]:
    return accumulate(counts[:-1], initial=0)


def _split_errors(
    errors: Mapping[int, TriptychError], counts: Sequence[int]
) -> list[dict[int, TriptychError]]:
    """The errors of each caller, counted from its first input."""
    parts: list[dict[int, TriptychError]] = [{} for _ in counts]
    if errors:
        owners, starts = np.repeat(np.arange(len(counts)), counts).tolist(), list(_starts(counts))
        for index, error in errors.items():
            part = owners[index]
            parts[part][index - starts[part]] = error
    return parts
