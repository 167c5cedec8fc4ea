"""Calls on their way through the tokenizer: screen, admit, tokenize in chunks, finish."""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import PayloadTooLarge, TriptychError
from triptych_tokenizer.chunks import Chunk, Times, run_chunks, split, times
from triptych_tokenizer.finishing import Tokenized, finish
from triptych_tokenizer.items import (
    Item,
    TokenIds,
    deadlines_of,
    drop_expired,
    screen,
    size,
)
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Options, Plan, resolve
from triptych_tokenizer.settings import Tokenizing
from triptych_tokenizer.telemetry import TokenizerMetrics
from triptych_tokenizer.tokens import Tokens, join
from triptych_tokenizer.workers import Done, Workers

# Up to these many characters or ids, texts are tokenized and sequences made on the event loop: that
# takes 1 ms or 0.2 ms. While all cores are busy a thread waits for one as long as that, and finds
# its caches cold; what a gateway gathers of short texts is smaller.
INLINE_ENCODE = 4096
INLINE_FINISH = 16384


@dataclass(frozen=True, slots=True)
class Encoded:
    """Items of a chunk and the tokens of those that have not failed."""

    items: list[Item]
    tokens: Tokens


class Engine:
    """Tokenizes and detokenizes calls with one pool of threads."""

    def __init__(self, workers: Workers, settings: Tokenizing, metrics: TokenizerMetrics) -> None:
        self._workers = workers
        self._settings = settings
        self._metrics = metrics

    async def tokenize(
        self,
        model: ModelTokenizer,
        items: Sequence[Item],
        options: Options,
        callers: Sequence[Caller],
    ) -> tuple[Tokenized, list[Times]]:
        """Sequences of a call's items, and the times of each caller.

        Raises InvalidArgument for options that the model cannot follow, PayloadTooLarge for a call
        over a limit and Overloaded while the queue is full. Items fail alone.
        """
        arrived = time.monotonic()
        plan = resolve(options, model.vocabulary)
        rules = plan.item_rules(self._settings.max_input_characters, model.vocabulary.vocab_size)
        screened = screen(items, rules)
        sizes = [size(item) + len(plan.prompt) for item in screened]
        with self._workers.admit(self._checked(sum(sizes), "inputs")):
            chunks = await self._encode(model, screened, sizes, plan, callers)
            done = await self._finish(chunks, plan, sum(sizes))
        spent = times(callers, chunks, arrived, done.finished - done.started)
        self._metrics.observe_call(sum(sizes), done.value, spent)
        return done.value, spent

    async def detokenize(
        self,
        model: ModelTokenizer,
        sequences: Sequence[TokenIds | TriptychError],
        special_tokens: bool,
        callers: Sequence[Caller],
    ) -> tuple[list[str | TriptychError], list[Times]]:
        """The text of every sequence, and the times of each caller; raises as `tokenize` does."""
        arrived = time.monotonic()
        deadlines = deadlines_of(callers)
        sizes = [size(sequence) for sequence in sequences]

        def decode(rows: slice) -> list[str | TriptychError]:
            living = drop_expired(sequences[rows], deadlines[rows])
            return model.decode(living, special_tokens=special_tokens)

        with self._workers.admit(self._checked(sum(sizes), "sequences")):
            rows = list(split(sizes, self._settings.chunk_characters))
            chunks = await run_chunks(self._workers, rows, decode)
        texts = list(chain.from_iterable(chunk.done.value for chunk in chunks))
        return texts, times(callers, chunks, arrived, 0.0)

    def _checked(self, size: int, field: str) -> int:
        limit = self._settings.max_call_characters
        if size > limit:
            message = f"the call has {size} characters and ids, at most {limit} are read"
            raise PayloadTooLarge(message, field=field)
        return size

    async def _encode(
        self,
        model: ModelTokenizer,
        items: Sequence[Item],
        sizes: Sequence[int],
        plan: Plan,
        callers: Sequence[Caller],
    ) -> list[Chunk[Encoded]]:
        deadlines = deadlines_of(callers)

        def encode(rows: slice) -> Encoded:
            living = drop_expired(items[rows], deadlines[rows])
            return Encoded(living, model.encode(living, plan))

        rows = list(split(sizes, self._settings.chunk_characters))
        return await run_chunks(self._workers, rows, encode, inline=sum(sizes) <= INLINE_ENCODE)

    async def _finish(
        self, chunks: Sequence[Chunk[Encoded]], plan: Plan, size: int
    ) -> Done[Tokenized]:
        def work() -> Tokenized:
            items = list(chain.from_iterable(chunk.done.value.items for chunk in chunks))
            tokens = join([chunk.done.value.tokens for chunk in chunks])
            return finish(tokens, items, plan, self._settings.max_call_tokens)

        return await self._workers.run(work, inline=size <= INLINE_FINISH)
