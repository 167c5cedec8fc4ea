"""The parts of the data: what is fitted on, what chooses, what is tested with.

A part is whatever texts, pairs or sentences come to: token ids and types, and what is to be found.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from triptych_models.scores.inputs import Inputs

IGNORED = -100
"""The class of tokens that no loss is taken of: torch's own default."""

Classes = NDArray[np.int64]
Logits = Sequence[NDArray[np.float32]]
"""Of each input: [labels], or [S, labels] of its S tokens."""


@dataclass(frozen=True, slots=True)
class Part:
    """N inputs; `targets` holds the class [1] of each, or those of its S tokens [S]."""

    inputs: Inputs
    targets: Sequence[Classes]
    per_token: bool
    score: Callable[[Logits], float]
    """The measure of the task, from 0 to 1."""
    write: Callable[[Path], None]
    """Writes the part as a file, for whoever scores the bundle later."""

    def __len__(self) -> int:
        return len(self.targets)

    def and_inputs_of(self, other: "Part") -> "Part":
        """With another's inputs after its own: something to fit on, which nobody scores."""
        mine, more = self.inputs, other.inputs
        inputs = Inputs([*mine.input_ids, *more.input_ids], [*mine.token_types, *more.token_types])
        return replace(self, inputs=inputs, targets=[*self.targets, *other.targets])


@dataclass(frozen=True, slots=True)
class Dataset:
    """All parts, and what is known of the files that they are from."""

    labels: tuple[str, ...]
    metric: str
    suffix: str
    """Of a part's file."""
    fit: Part
    validation: Part
    test: Part
    files: Mapping[str, str]
    """sha256 by name."""
    facts: Mapping[str, int]
    """Numbers for the card, by what they count."""
