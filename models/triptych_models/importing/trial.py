"""Runs of a graph that may fail, since nobody has run it here before."""

from collections.abc import Sequence

from triptych_models.errors import UnsupportedModel
from triptych_models.runtime import Ids, Outputs, PaddedGraph

_MOST_CHARACTERS = 300


def run(graph: PaddedGraph, sequences: Sequence[Ids], outputs: Sequence[str]) -> Outputs:
    """Outputs by name of one batch; UnsupportedModel where the graph does not run it."""
    try:
        return graph.run(sequences, outputs)
    except Exception as error:  # the runtime's own errors share no narrower class
        shape = f"{len(sequences)} texts of up to {max(map(len, sequences))} tokens"
        reason = " ".join(str(error).split())[:_MOST_CHARACTERS]
        raise UnsupportedModel(f"the graph does not run {shape}: {reason}") from None
