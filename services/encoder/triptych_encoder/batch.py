"""Entries that run together: gathered on the way in, scattered on the way out."""

import itertools
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import Backend, RaggedBatch, Result
from triptych_encoder.cost import CostModel
from triptych_encoder.entry import Entry, Submission

# Batch ids are unique in the process; the random part tells processes apart in logs.
_PROCESS: Final = uuid.uuid4().hex[:8]
_numbers = itertools.count(1)

Arrays = Mapping[str, Result]


def _next_id() -> str:
    return f"{_PROCESS}-{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Entries of one model for one run of its graph."""

    entries: Sequence[Entry]
    costs: CostModel
    batch_id: str = field(default_factory=_next_id)

    @property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(entry.length for entry in self.entries)

    @property
    def area(self) -> int:
        """Tokens that are computed, padding included."""
        return self.costs.area([entry.length for entry in self.entries])

    def begin(self) -> Sequence[str]:
        """The outputs that the entries' claims need together; who claims later gets no other."""
        needs = {claim.submission.sources for entry in self.entries for claim in entry.claims}
        sources = frozenset[str]().union(*needs)
        for entry in self.entries:
            entry.computing, entry.written = sources, 0
        return sorted(sources)

    def run(self, backend: Backend, outputs: Sequence[str]) -> Arrays:
        """In a worker's thread: compute, and write the rows of all who claim by now."""
        results = backend.run(self.gather(), outputs)
        arrays = dict(zip(outputs, results, strict=True))
        self.write(arrays)
        return arrays

    def write(self, arrays: Arrays) -> None:
        """Write the rows of the claims that do not have theirs yet."""
        claims: defaultdict[Submission, tuple[list[int], list[int]]] = defaultdict(lambda: ([], []))
        for row, entry in enumerate(self.entries):
            for claim in entry.unwritten():
                indices, rows = claims[claim.submission]
                indices.append(claim.index)
                rows.append(row)
        # what is beyond float16 becomes infinite, without a warning
        with np.errstate(over="ignore"):
            for submission, (indices, rows) in claims.items():
                submission.write(indices, rows, arrays)

    def settle(self, started: float, ended: float) -> None:
        """Tell every claim that its rows are there."""
        settled: defaultdict[Submission, list[int]] = defaultdict(list)
        for entry in self.entries:
            for claim in entry.claims:
                settled[claim.submission].append(claim.index)
        for submission, indices in settled.items():
            submission.settle(indices, started, ended, self.batch_id)

    def gather(self) -> RaggedBatch:
        """What the backend reads."""
        ids = np.frombuffer(b"".join(entry.key[0] for entry in self.entries), np.int32)
        lengths = np.array([entry.length for entry in self.entries], np.int32)
        return RaggedBatch(ids, self._token_types(lengths), lengths)

    def _token_types(self, lengths: NDArray[np.int32]) -> NDArray[np.int32] | None:
        if not any(entry.key[1] for entry in self.entries):
            return None
        types = np.zeros(int(lengths.sum()), np.int32)
        for start, entry in zip((np.cumsum(lengths) - lengths).tolist(), self.entries, strict=True):
            if (own := entry.token_type_ids) is not None:
                types[start : start + entry.length] = own
        return types
