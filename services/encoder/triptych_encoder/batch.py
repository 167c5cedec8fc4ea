"""Entries that run together: padded on the way in, scattered on the way out."""

import itertools
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import HIDDEN, PaddedBatch
from triptych_encoder.entry import Entry

# Batch ids are unique in the process; the random part tells processes apart in logs.
_PROCESS: Final = uuid.uuid4().hex[:8]
_numbers = itertools.count(1)


def _next_id() -> str:
    return f"{_PROCESS}-{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one model for one run of its graph."""

    entries: Sequence[Entry]
    batch_id: str = field(default_factory=_next_id)

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(entry.length for entry in self.entries)

    @property
    def padded_tokens(self) -> int:
        """Rows times width."""
        return len(self.entries) * max(entry.length for entry in self.entries)

    def outputs(self) -> list[str]:
        """Names of all outputs that one of the entries needs, in a fixed order."""
        return sorted({name for entry in self.entries for name in entry.submission.outputs})

    def pad(self) -> PaddedBatch:
        """The arrays that the backend reads."""
        shape = len(self.entries), max(entry.length for entry in self.entries)
        ids, mask, types = (np.zeros(shape, np.int32) for _ in range(3))
        for row, entry in enumerate(self.entries):
            submission, start = entry.submission, entry.submission.starts[entry.index]
            ids[row, : entry.length] = submission.input_ids[start : start + entry.length]
            mask[row, : entry.length] = 1
            if submission.token_type_ids is not None:
                types[row, : entry.length] = submission.token_type_ids[start : start + entry.length]
        return PaddedBatch(ids, mask, types)

    def scatter(self, arrays: dict[str, NDArray[Any]], started: float, seconds: float) -> None:
        """Write every entry's rows into its submission. `started` is on the monotonic clock."""
        for row, entry in enumerate(self.entries):
            submission, index = entry.submission, entry.index
            for name, result in zip(submission.outputs, submission.results, strict=True):
                if name == HIDDEN:
                    start = submission.starts[index]
                    result[start : start + entry.length] = arrays[name][row, : entry.length]
                else:
                    result[index] = arrays[name][row]
            submission.queue_seconds[index] = started - entry.arrived
            submission.run_seconds[index] = seconds
            submission.batch_ids[index] = self.batch_id
            submission.settle()
