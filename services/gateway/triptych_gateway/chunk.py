"""Some inputs of a request on their way through the stages."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from triptych_gateway.tasks import TaskResult, Timing, Usage
from triptych_gateway.tasks.results import place
from triptych_gateway.work import (
    AnswerResult,
    AnswerWork,
    Arrays,
    EncodeResult,
    EncodeWork,
    Errors,
    Layout,
    TokenizeResult,
)
from triptych_servicekit.errors import TriptychError


class Chunk:
    """What the stages have made of the inputs so far.

    `positions` are the indices, in the chunk, of the inputs without error; `errors` has the others.
    `arrays` are the outputs of the encoder for these inputs, `results` those of the tasks.
    """

    def __init__(self, tokenized: TokenizeResult, held: float) -> None:
        """A chunk that has been tokenized, after `held` seconds of waiting to go out."""
        self.errors: dict[int, TriptychError] = dict(tokenized.errors)
        self.positions = _without(np.arange(len(tokenized.total_tokens)), tokenized.errors)
        self.timing = Timing(tokenize=tokenized.time.compute, queue=held + tokenized.time.queue)
        self.arrays: Arrays = ()
        self.results: Sequence[TaskResult] = ()
        self.layout: Layout | None = None
        self._tokenized = tokenized

    def __len__(self) -> int:
        """Inputs without error."""
        return len(self.positions)

    @property
    def size(self) -> int:
        """Inputs with and without error."""
        return len(self._tokenized.total_tokens)

    def keep_layout(self) -> None:
        """Keep where the tokens are, for tasks that read it.

        Tokens of a prompt are of no word of the text, and are made out to be special ones.
        """
        tokens = self._tokenized
        offsets, words, mask = tokens.offsets, tokens.word_ids, tokens.special_tokens_mask
        if offsets is None or words is None or mask is None:
            return
        self.layout = Layout(tokens.lengths, offsets, words, mask | (words < 0).astype(np.int32))

    def encode_work(self) -> EncodeWork:
        """What goes to the encoder."""
        tokens = self._tokenized
        return EncodeWork(tokens.input_ids, tokens.lengths, tokens.token_type_ids)

    def answer_work(self) -> AnswerWork:
        """What goes to postprocess."""
        return AnswerWork(self.arrays, len(self), self.layout)

    def take_outputs(self, encoded: EncodeResult, held: float) -> None:
        """The encoder has answered."""
        self.timing.encode = encoded.time.compute
        self.timing.queue += held + encoded.time.queue
        self.arrays = encoded.arrays
        if self.layout is not None:
            self.layout = self.layout.without(encoded.errors)
        self._drop(encoded.errors)

    def take_answer(self, answer: AnswerResult, held: float) -> None:
        """Postprocess has answered."""
        self.timing.postprocess = answer.time.compute
        self.timing.queue += held + answer.time.queue
        self.results = [place(result, self.positions) for result in answer.results]
        self._drop(answer.errors)

    def usage(self) -> Usage:
        """Tokens of every input; nothing was kept of those that failed."""
        kept = self._tokenized.kept_tokens
        if self.errors:
            kept = kept.copy()
            kept[list(self.errors)] = 0
        return Usage(self._tokenized.total_tokens, kept)

    def _drop(self, errors: Errors) -> None:
        """Inputs have failed; their errors are counted from those that were sent."""
        for index, error in errors.items():
            self.errors[int(self.positions[index])] = error
        self.positions = _without(self.positions, errors)


def _without(positions: NDArray[np.int64], errors: Errors) -> NDArray[np.int64]:
    return np.delete(positions, sorted(errors)) if errors else positions
