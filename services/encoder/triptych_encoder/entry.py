"""Work on its way through the encoder: submissions, and the entries that compute them.

An entry is one sequence, computed once. A claim is one submission's interest in it: equal
sequences, of one call or of several, share an entry and have a claim each. Times are on the clock
of `time.monotonic`.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.outputs import Output, RangeRows, span
from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import TriptychError

# Seconds by which a class of priority lets others go first: 1 high, 2 normal, 3 low. It shifts an
# entry's place in the queue, so low priority waits longer but never starves.
PRIORITY_DELAY: Final = {1: 0.0, 2: 0.5, 3: 5.0}

# What makes two sequences equal: the bytes of their int32 token ids and of their token types, the
# latter empty where all are zero.
Key = tuple[bytes, bytes]
_ITEM: Final = np.dtype(np.int32).itemsize


class Submission:
    """The sequences of one call: what they are, what becomes of them, and who waits for it.

    `input_ids` and `token_type_ids` are int32 [T], `lengths` int32 [S]. `results` holds the rows of
    each of `outputs`; those of sequences in `errors` are not to be read. `queue_seconds`, counted
    from `arrived`, and `run_seconds` are float64 [S]. `unsettled` sequences have neither result nor
    error yet. `ranged` are the rows that a run pools of ranges of tokens.
    """

    def __init__(
        self,
        input_ids: NDArray[np.int32],
        token_type_ids: NDArray[np.int32] | None,
        lengths: NDArray[np.int32],
        outputs: Sequence[Output],
        arrived: float,
    ) -> None:
        count = len(lengths)
        self.input_ids = input_ids
        self.token_type_ids = token_type_ids
        self.lengths = lengths
        self.outputs = tuple(outputs)
        self.arrived = arrived
        self.sources = frozenset(output.source for output in outputs)
        self.ranged = [each.rows for each in outputs if isinstance(each.rows, RangeRows)]
        self.results = [output.allocate() for output in outputs]
        self.errors: dict[int, TriptychError] = {}
        self.queue_seconds = np.zeros(count)
        self.run_seconds = np.zeros(count)
        self.batch_ids = [""] * count
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.unsettled = count

    def write(
        self, claims: Sequence["Claim"], rows: Sequence[int], arrays: Mapping[str, Any]
    ) -> None:
        """Take the results of its claims from these rows of a run's arrays, by output."""
        indices = [claim.index for claim in claims]
        ranges = [claim.first_range for claim in claims]
        for output, result in zip(self.outputs, self.results, strict=True):
            values, own = arrays[output.source], output.rows
            if isinstance(own, RangeRows):
                own.write(result, indices, values, ranges)
                ranges = [
                    first + own.count_of(index)
                    for first, index in zip(ranges, indices, strict=True)
                ]
            else:
                own.write(result, indices, values, rows)

    def settle(self, indices: Sequence[int], started: float, ended: float, batch_id: str) -> None:
        """The rows of some sequences are written, by a run that may have begun before they came."""
        began, places = max(started, self.arrived), span(indices)
        self.queue_seconds[places] = began - self.arrived
        self.run_seconds[places] = max(0.0, ended - began)
        for index in indices:
            self.batch_ids[index] = batch_id
        self._settle(len(indices))

    def _settle(self, count: int) -> None:
        self.unsettled -= count
        if self.unsettled == 0 and not self.done.done():
            self.done.set_result(None)

    def fail(self, index: int, error: TriptychError) -> None:
        """Sequence `index` ends with `error`; the others are not affected."""
        self.errors[index] = error
        self._settle(1)

    def entries(self, callers: Sequence[Caller]) -> Iterator["Entry"]:
        """An entry for every sequence that has no error yet."""
        lengths, keys = self.lengths.tolist(), self._keys()
        for caller in callers:
            priority, due = caller.priority, self.arrived + PRIORITY_DELAY[caller.priority]
            for index in range(caller.start, caller.start + caller.count):
                if index not in self.errors:
                    claim = Claim(self, index, caller.deadline)
                    # most calls want none, and this is said for each of their sequences
                    ranges = 1 + self._segments_of(index) if self.ranged else 1
                    yield Entry(keys[index], lengths[index], claim, priority, due, ranges)

    def _segments_of(self, index: int) -> int:
        return sum(rows.count_of(index) for rows in self.ranged)

    def _keys(self) -> list[Key]:
        ends = np.cumsum(self.lengths, dtype=np.int64)
        starts = ends - self.lengths
        spans = list(zip((starts * _ITEM).tolist(), (ends * _ITEM).tolist(), strict=True))
        ids, types = self.input_ids.tobytes(), self.token_type_ids
        if types is None or not types.any():
            return [(ids[start:end], b"") for start, end in spans]
        typed, kinds = np.logical_or.reduceat(types != 0, starts).tolist(), types.tobytes()
        return [
            (ids[start:end], kinds[start:end] if differs else b"")
            for (start, end), differs in zip(spans, typed, strict=True)
        ]


class Claim:
    """Sequence `index` of a submission, waiting for an entry.

    `first_range` is where its ranges begin among all that its run pools.
    """

    __slots__ = ("deadline", "first_range", "index", "submission")

    def __init__(self, submission: Submission, index: int, deadline: float) -> None:
        self.submission = submission
        self.index = index
        self.deadline = deadline
        self.first_range = 0

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits for it any more: its call was cancelled."""
        return self.submission.done.done()

    def fail(self, error: TriptychError) -> None:
        """End it with `error`."""
        self.submission.fail(self.index, error)


class Entry:
    """One sequence in the queue, and then in a run.

    `taken` is set once it has left the queue, `computing` once it runs: the outputs of the graph
    that the run gives. The first `written` of its claims have their rows. `ranges` are what the run
    pools for them: the sequence, and ranges of its tokens.
    """

    __slots__ = (
        "claims", "computing", "due", "key", "length", "priority", "ranges", "taken", "written",
    )  # fmt: skip

    def __init__(
        self, key: Key, length: int, claim: Claim, priority: int, due: float, ranges: int
    ) -> None:
        self.key = key
        self.length = length
        self.claims = [claim]
        self.priority = priority
        self.due = due
        self.ranges = ranges
        self.taken = False
        self.computing: frozenset[str] | None = None
        self.written = 0

    @property
    def token_type_ids(self) -> NDArray[np.int32] | None:
        """[length]; None where all are zero."""
        return np.frombuffer(self.key[1], np.int32) if self.key[1] else None

    def serves(self, claim: Claim) -> bool:
        """Whether a claim that comes now still gets all its outputs.

        A run that has begun pools the ranges that were asked for before.
        """
        if self.computing is None:
            return True
        return not claim.submission.ranged and claim.submission.sources <= self.computing

    def unwritten(self) -> Sequence[Claim]:
        """The claims that had no rows yet, which are to be written now."""
        claims = self.claims[self.written :] if self.written else list(self.claims)
        self.written += len(claims)
        return claims
