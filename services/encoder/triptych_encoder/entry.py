"""Work on its way through the encoder: a submission and its entries."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import HIDDEN
from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import TriptychError

# Seconds by which a class of priority lets others go first: 1 high, 2 normal, 3 low. It shifts an
# entry's place in the queue, so low priority waits longer but never starves.
PRIORITY_DELAY: Final = {1: 0.0, 2: 0.5, 3: 5.0}


class Submission:
    """The sequences of one call: what they are, what becomes of them, and who waits for it.

    `input_ids` and `token_type_ids` are int32 [T], `starts` int64 [S] and `lengths` int32 [S].
    `outputs` are names of the backend's outputs. `results` holds, for each, float32 [S, H], or
    [T, H] for hidden states; rows of sequences in `errors` are not to be read. `queue_seconds` and
    `run_seconds` are float64 [S].
    """

    def __init__(
        self,
        input_ids: NDArray[np.int32],
        token_type_ids: NDArray[np.int32] | None,
        lengths: NDArray[np.int32],
        outputs: Sequence[str],
        hidden_size: int,
    ) -> None:
        count, tokens = len(lengths), len(input_ids)
        self.input_ids = input_ids
        self.token_type_ids = token_type_ids
        self.lengths = lengths
        self.starts = np.cumsum(lengths, dtype=np.int64) - lengths
        self.outputs = tuple(outputs)
        self.results: list[NDArray[Any]] = [
            np.empty((tokens if name == HIDDEN else count, hidden_size), np.float32)
            for name in self.outputs
        ]
        self.errors: dict[int, TriptychError] = {}
        self.queue_seconds = np.zeros(count)
        self.run_seconds = np.zeros(count)
        self.batch_ids = [""] * count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._left = count

    def settle(self, count: int = 1) -> None:
        """`count` more of the sequences have their result or their error."""
        self._left -= count
        if self._left == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, index: int, error: TriptychError) -> None:
        """Sequence `index` ends with `error`; the others are not affected."""
        self.errors[index] = error
        self.settle()

    def entries(self, callers: Sequence[Caller], arrived: float) -> Iterator["Entry"]:
        """An entry for every sequence that has no error yet."""
        lengths = self.lengths.tolist()
        for caller in callers:
            for index in range(caller.start, caller.start + caller.count):
                if index not in self.errors:
                    yield Entry(self, index, lengths[index], arrived, caller)


class Entry:
    """One sequence in the queue. Times are on the clock of `time.monotonic`."""

    __slots__ = ("arrived", "deadline", "due", "index", "length", "priority", "submission", "taken")

    def __init__(
        self, submission: Submission, index: int, length: int, arrived: float, caller: Caller
    ) -> None:
        self.submission = submission
        self.index = index
        self.length = length
        self.arrived = arrived
        self.deadline = caller.deadline
        self.priority = caller.priority
        self.due = arrived + PRIORITY_DELAY[caller.priority]
        self.taken = False

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more: its call was cancelled."""
        return self.submission.done.done()
