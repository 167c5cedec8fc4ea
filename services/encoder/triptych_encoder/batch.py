"""Entries that run together: gathered on the way in, scattered on the way out."""

import itertools
import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from triptych_encoder.backend import Backend, Ints, RaggedBatch, Result
from triptych_encoder.cost import CostModel
from triptych_encoder.entry import Claim, Entry, Submission

# Batch ids are unique in the process; the random part tells processes apart in logs.
_PROCESS: Final = uuid.uuid4().hex[:8]
_numbers = itertools.count(1)

Arrays = Mapping[str, Result]


def _next_id() -> str:
    return f"{_PROCESS}-{next(_numbers)}"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the claims on a batch ask of its run: outputs, and ranges as RaggedBatch has them."""

    outputs: Sequence[str]
    ranges: Ints | None


@dataclass(frozen=True)
class Batch:
    """Entries of one model for one run of its graph."""

    entries: Sequence[Entry]
    costs: CostModel
    batch_id: str = field(default_factory=_next_id)

    @cached_property
    def lengths(self) -> Sequence[int]:
        """Tokens of each entry."""
        return [entry.length for entry in self.entries]

    @cached_property
    def tokens(self) -> int:
        """Real tokens."""
        return sum(self.lengths)

    @cached_property
    def area(self) -> int:
        """Tokens that are computed, padding included."""
        return self.costs.area(self.lengths)

    def begin(self) -> Wanted:
        """What the entries' claims need together; who claims later gets nothing else."""
        submissions = {claim.submission for entry in self.entries for claim in entry.claims}
        sources = frozenset[str]().union(*(each.sources for each in submissions))
        for entry in self.entries:
            entry.computing, entry.written = sources, 0
        ranged = any(each.ranged for each in submissions)
        return Wanted(sorted(sources), self._place_ranges() if ranged else None)

    def _place_ranges(self) -> Ints:
        """The ranges of all claims, which learn where among the results their own begin."""
        found, row, start = [np.empty((0, 2), np.int32)], len(self.entries), 0
        for entry in self.entries:
            for claim in entry.claims:
                claim.first_range = row
                own = [rows.ranges(claim.index) for rows in claim.submission.ranged]
                found += [ranges + np.int32(start) for ranges in own]
                row += sum(map(len, own))
            start += entry.length
        return np.concatenate(found)

    def run(self, backend: Backend, wanted: Wanted) -> Arrays:
        """In a worker's thread: compute, and write the rows of all who claim by now."""
        results = backend.run(self.gather(wanted.ranges), wanted.outputs)
        arrays = dict(zip(wanted.outputs, results, strict=True))
        self.write(arrays)
        return arrays

    def write(self, arrays: Arrays) -> None:
        """Write the rows of the claims that do not have theirs yet."""
        found: defaultdict[Submission, tuple[list[Claim], list[int]]] = defaultdict(
            lambda: ([], [])
        )
        for row, entry in enumerate(self.entries):
            for claim in entry.unwritten():
                claims, rows = found[claim.submission]
                claims.append(claim)
                rows.append(row)
        # what is beyond float16 becomes infinite, without a warning
        with np.errstate(over="ignore"):
            for submission, (claims, rows) in found.items():
                submission.write(claims, rows, arrays)

    def settle(self, started: float, ended: float) -> None:
        """Tell every claim that its rows are there."""
        settled: defaultdict[Submission, list[int]] = defaultdict(list)
        for entry in self.entries:
            for claim in entry.claims:
                settled[claim.submission].append(claim.index)
        for submission, indices in settled.items():
            submission.settle(indices, started, ended, self.batch_id)

    def gather(self, ranges: Ints | None = None) -> RaggedBatch:
        """What the backend reads."""
        ids = np.frombuffer(b"".join([entry.key[0] for entry in self.entries]), np.int32)
        lengths = np.array(self.lengths, np.int32)
        return RaggedBatch(ids, self._token_types(lengths), lengths, ranges)

    def _token_types(self, lengths: NDArray[np.int32]) -> NDArray[np.int32] | None:
        if not any(entry.key[1] for entry in self.entries):
            return None
        types = np.zeros(int(lengths.sum()), np.int32)
        for start, entry in zip((np.cumsum(lengths) - lengths).tolist(), self.entries, strict=True):
            if (own := entry.token_type_ids) is not None:
                types[start : start + entry.length] = own
        return types
