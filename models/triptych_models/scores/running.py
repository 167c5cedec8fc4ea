"""One graph over many inputs, on all cores: rows come back in their order, without padding."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from triptych_models.batches import by_length
from triptych_models.runtime import PER_TOKEN, PaddedGraph
from triptych_models.scores.inputs import Inputs

Rows = list[NDArray[np.float32]]


def run_rows(graph: PaddedGraph, inputs: Inputs, output: str, threads: int) -> Rows:
    """What the graph makes of each of N inputs: [H], or [S, labels] of its S tokens."""
    rows: Rows = [np.empty(0, np.float32)] * len(inputs.input_ids)

    def run(batch: Sequence[int]) -> None:
        ids = [inputs.input_ids[row] for row in batch]
        types = [inputs.token_types[row] for row in batch]
        made = graph.run(ids, [output], types)[output]
        for row, values, own in zip(batch, made, ids, strict=True):
            rows[row] = values[: len(own)] if output in PER_TOKEN else values

    # a session may run in several threads at once, each of which keeps a core busy by itself
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(run, by_length(inputs.lengths)))
    return rows
