"""Reading inputs in windows: they are tokenized first, so that their windows are known.

These go to the encoder in portions, a few at a time: what else arrives meanwhile does not wait for
all of a long input, but has its turn between two portions.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import TOKEN_LOGITS_OUTPUT
from triptych_gateway.chunk import Chunk
from triptych_gateway.columns import join
from triptych_gateway.layout import Ints, Layout
from triptych_gateway.models.background import ranked
from triptych_gateway.passage import Job, Passage
from triptych_gateway.tasks import Input, TextOptions, Timing, Usage
from triptych_gateway.windowing import Portion, Tally, Windowing, portions
from triptych_gateway.work import Arrays, EncodeWork, TokenizeResult, TokenizeWork
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.together import in_lanes

# Portions on their way at a time: while the encoder works on the one, the other is there.
PORTIONS: Final = 2
# A portion is a quarter of a full cohort: with halves, short texts beside four documents waited for
# half as long again, and a document alone was no faster.
PORTION_SHARE: Final = 4


@dataclass(frozen=True, slots=True)
class Reading:
    """How the inputs of a request are read; `done` is told the tokens of each portion."""

    job: Job
    windowing: Windowing
    tally: Tally
    done: Callable[[int], None]


@dataclass(frozen=True, slots=True)
class Windows:
    """S windows of the inputs without error: whose each is, ascending from 0 without a gap."""

    sequences: EncodeWork
    item: Ints
    start: Ints
    tokens: TokenizeResult

    @classmethod
    def of(cls, tokens: TokenizeResult) -> "Windows":
        """Those that the tokenizer made; where none were needed each input is one."""
        sequences = EncodeWork(tokens.input_ids, tokens.lengths, tokens.token_type_ids)
        if tokens.item_index is None or tokens.window_start is None:
            index = np.arange(len(tokens.lengths), dtype=np.int32)
            return cls(sequences, index, np.zeros_like(index), tokens)
        _, item = np.unique(tokens.item_index, return_inverse=True)
        return cls(sequences, item.astype(np.int32), tokens.window_start, tokens)

    def only(self, kept: NDArray[np.bool_]) -> "Windows":
        """Those for which [S] is true, of whichever inputs they are; without a layout."""
        left = np.flatnonzero(~kept).tolist()
        return replace(
            self,
            sequences=self.sequences.without(left),
            item=self.item[kept],
            start=self.start[kept],
        )

    @property
    def layout(self) -> Layout | None:
        """Where their tokens are, if that is known."""
        tokens = self.tokens
        offsets, words, mask = tokens.offsets, tokens.word_ids, tokens.special_tokens_mask
        if offsets is None or words is None or mask is None:
            return None
        return Layout(tokens.lengths, offsets, words, mask)

    def encoded(self) -> Ints:
        """int32: tokens of all windows of each input, special ones included."""
        return np.bincount(self.item, weights=self.sequences.lengths).astype(np.int32)


@dataclass(frozen=True, slots=True)
class Encoded:
    """Outputs of the encoder for the sequences without error, of which `errors` has the others'."""

    arrays: Arrays
    errors: dict[int, TriptychError]
    timing: Timing

    def of(self, outputs: Sequence[str], kept: NDArray[np.bool_], lengths: Ints) -> Arrays:
        """The rows of those sequences for which [S] is true; none of them has an error."""
        alive = np.ones(len(lengths), bool)
        alive[list(self.errors)] = False
        rows, tokens = kept[alive], np.repeat(kept[alive], lengths[alive])
        return tuple(
            array[tokens if output == TOKEN_LOGITS_OUTPUT else rows]
            for output, array in zip(outputs, self.arrays, strict=True)
        )


class Reader:
    """Takes inputs to the tokenizer and their windows to the encoder."""

    def __init__(self, passage: Passage, full: int) -> None:
        self.passage = passage
        self._portion = full // PORTION_SHARE

    @property
    def on_the_way(self) -> int:
        """Tokens of a part that are on their way to the encoder at a time, about."""
        return PORTIONS * self._portion

    async def tokenize(
        self, reading: Reading, text: TextOptions, inputs: Sequence[Input]
    ) -> tuple[Chunk, Windows]:
        """The inputs, and the windows of those without error."""
        job, stages = reading.job, self.passage.stages
        callers = [(ranked(job.origin), len(inputs))]
        tokens, held = await stages.tokenizer.submit(
            TokenizeWork(inputs),
            self.passage.calls.tokenize(job.model, text),
            reading.windowing.weight(inputs),
            callers,
        )
        windows, time = Windows.of(tokens), tokens.times[0]
        reading.tally.add(len(windows.item))
        timing = Timing(tokenize=time.compute, queue=held + time.queue)
        chunk = Chunk(callers, Usage(tokens.total_tokens, tokens.kept_tokens), [timing])
        chunk.fail(tokens.errors)
        return chunk, windows

    async def encode(
        self, reading: Reading, outputs: tuple[str, ...], numbers: int, sequences: EncodeWork
    ) -> Encoded:
        """Outputs of the sequences, each of at most so many numbers."""
        work = list(portions(sequences.lengths, numbers, self._portion))
        span = reading.job.origin.deadline - time.monotonic()

        async def send(portion: Portion) -> Chunk:
            part, job = sequences.part(portion.run), _as_if_new(reading.job, span)
            chunk = await self.passage.encode_sequences(job, outputs, part, portion.weight)
            reading.done(len(part.input_ids))
            return chunk

        chunks = await in_lanes(PORTIONS, work, send)
        columns = zip(*(chunk.arrays for chunk in chunks if len(chunk)), strict=True)
        errors = {
            portion.run.start + index: error
            for portion, chunk in zip(work, chunks, strict=True)
            for index, error in chunk.errors.items()
        }
        return Encoded(tuple(map(join, columns)), errors, _together(chunks))


def _as_if_new(job: Job, span: float) -> Job:
    """The job as one that arrives now: what waits for the encoder goes by its deadline.

    With their own the last portions of a document would go before all that came after it. The
    request itself ends at its deadline, and its portions with it.
    """
    return replace(job, origin=replace(job.origin, deadline=time.monotonic() + span))


def _together(chunks: Sequence[Chunk]) -> Timing:
    """Seconds of portions that went side by side."""
    lanes = min(PORTIONS, len(chunks))
    return Timing(
        queue=sum(chunk.timing.queue for chunk in chunks) / lanes,
        encode=sum(chunk.timing.encode for chunk in chunks) / lanes,
    )
