"""The seam between batching and whatever runs the graph."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from triptych_bundles.manifest import HIDDEN_OUTPUT, LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT
from triptych_encoder.cost import CostModel

HIDDEN: Final = HIDDEN_OUTPUT
LOGITS: Final = LOGITS_OUTPUT
TOKEN_LOGITS: Final = TOKEN_LOGITS_OUTPUT

Ints = NDArray[np.int32]
Result: TypeAlias = NDArray[Any] | Sequence[NDArray[Any]]
"""Of an output: a row for each sequence, or for each sequence the rows of its tokens."""


@dataclass(frozen=True, slots=True)
class RaggedBatch:
    """B sequences, one after the other, T tokens in all.

    `input_ids` and `token_type_ids` are int32 [T], where no types stand for zeros; `lengths` is
    int32 [B]. `ranges` are int32 [K, 2], the first and the last of some tokens of one sequence,
    counted over all T: they are pooled as the sequences are.
    """

    input_ids: Ints
    token_type_ids: Ints | None
    lengths: Ints
    ranges: Ints | None = None

    @classmethod
    def of(cls, sequences: Iterable[Sequence[int] | Ints]) -> "RaggedBatch":
        """Sequences of ids whose types are all zero."""
        rows = [np.asarray(sequence, np.int32) for sequence in sequences]
        return cls(np.concatenate(rows), None, np.array([len(row) for row in rows], np.int32))


class Backend(Protocol):
    """Runs the graph of one model. `run` is called from several threads at once."""

    @property
    def description(self) -> str:
        """What runs it, in a few words: the runtime, its version, its precision."""

    @property
    def outputs(self) -> Sequence[str]:
        """Names that `run` can be asked for: pooled vectors, logits, hidden states."""

    @property
    def reads_token_types(self) -> bool:
        """Whether `token_type_ids` make a difference."""

    @property
    def max_segments(self) -> int:
        """Most ranges that a run pools for one sequence, beside the sequence.

        Who asks for more pools hidden states; 0 is for who reads no ranges.
        """

    @property
    def cost_model(self) -> type[CostModel]:
        """What its runs cost is a model of this kind, which decides what shares a run."""

    def run(self, batch: RaggedBatch, outputs: Sequence[str]) -> Sequence[Result]:
        """One result of a floating type for each of `outputs`.

        `pooled.<pooling>` [B + K, H], of the sequences and then of the ranges, and `logits`
        [B, labels]; of `last_hidden_state` [.., H] and `token_logits` [.., labels] for each
        sequence its tokens' rows, with padding after them or without.
        """

    def close(self) -> None:
        """Release the graph."""
