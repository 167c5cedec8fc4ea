"""Which outputs of a foreign graph are hidden states, logits, or logits of tokens."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import HIDDEN_OUTPUT, LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT
from triptych_models.errors import UnsupportedModel
from triptych_models.importing.trial import run
from triptych_models.runtime import PaddedGraph

# two texts, so that no axis of the answer can be mistaken for another
_TOKENS = (5, 3)
_TOKEN_CLASSES = "ForTokenClassification"  # noqa: S105 (no secret)
_SEQUENCE_CLASSES = "ForSequenceClassification"


@dataclass(frozen=True, slots=True)
class GraphOutputs:
    """Of the outputs that Triptych knows, those that a graph has."""

    sources: Mapping[str, str]
    """The graph's own name by Triptych's."""
    widths: Mapping[str, int]
    """Numbers a row, by Triptych's name."""


def find_outputs(graph: PaddedGraph, names: Sequence[str], architecture: str) -> GraphOutputs:
    """Run two short texts and look at the shapes of what comes out under each of `names`.

    `architecture` is the model's class, which decides where names do not. UnsupportedModel where
    nothing is of use, or is not float32.
    """
    ids = [np.zeros(count, np.int32) for count in _TOKENS]
    arrays = run(graph, ids, names)
    batch, longest = len(_TOKENS), max(_TOKENS)
    tokens = _of_shape(arrays, (batch, longest))
    sequences = _of_shape(arrays, (batch,))
    sources = _sources(tokens, sequences, architecture)
    if not sources:
        shapes = ", ".join(f"{name} {list(array.shape)}" for name, array in arrays.items())
        reason = "neither states [batch, sequence, hidden] nor logits"
        raise UnsupportedModel(f"the graph has {reason}; for 2 texts of 5 tokens it gives {shapes}")
    for source in sources.values():
        if arrays[source].dtype != np.float32:
            raise UnsupportedModel(f"output {source} is {arrays[source].dtype}, not float32")
    widths = {name: arrays[source].shape[-1] for name, source in sources.items()}
    return GraphOutputs(sources, widths)


def _of_shape(arrays: Mapping[str, NDArray[np.generic]], leading: tuple[int, ...]) -> list[str]:
    """Outputs with these axes and one more."""
    return [
        name
        for name, array in arrays.items()
        if array.shape[:-1] == leading and array.ndim == len(leading) + 1
    ]


def _sources(tokens: list[str], sequences: list[str], architecture: str) -> dict[str, str]:
    named = [name for name in (LOGITS_OUTPUT, TOKEN_LOGITS_OUTPUT) if name in tokens]
    token_logits = _first(named, tokens if architecture.endswith(_TOKEN_CLASSES) else [])
    logits = _first(
        [LOGITS_OUTPUT] if LOGITS_OUTPUT in sequences else [],
        sequences if architecture.endswith(_SEQUENCE_CLASSES) else [],
    )
    states = [name for name in tokens if name != token_logits]
    hidden = _first([name for name in states if name == HIDDEN_OUTPUT], states)
    found = {HIDDEN_OUTPUT: hidden, LOGITS_OUTPUT: logits, TOKEN_LOGITS_OUTPUT: token_logits}
    return {name: source for name, source in found.items() if source}


def _first(preferred: list[str], others: list[str]) -> str:
    return next(iter([*preferred, *others]), "")
