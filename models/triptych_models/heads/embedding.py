"""Raw pooled vectors of many texts, by the trunk's own graph: what the head will see in service."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from triptych_bundles import Bundle, pooled_output, verify_files
from triptych_models.batches import by_length
from triptych_models.errors import UnsupportedModel
from triptych_models.progress import Say
from triptych_models.runtime import PaddedGraph
from triptych_models.tokenization import encode, load_tokenizer

GRAPH = "cpu-fp32"
_TOKENIZER = "tokenizer.json"
_REPORTS = 5

Ids = NDArray[np.int32]
Vectors = NDArray[np.float32]


def embed(trunk: Bundle, texts: Sequence[str], threads: int, say: Say) -> Vectors:
    """float32[N, hidden] of N texts, cut to the trunk's maximum, by the trunk's own pooling.

    Raises BundleError for a trunk that is not intact, UnsupportedModel for one without the graph.
    """
    graph, output = _graph(trunk), pooled_output(trunk.pooling)
    sequences = encode(load_tokenizer(trunk.file(_TOKENIZER), trunk.max_length), texts)
    vectors = np.empty((len(texts), trunk.hidden_size), np.float32)

    def run(batch: Sequence[int]) -> None:
        made = graph.run([sequences[row] for row in batch], [output])
        vectors[batch] = made[output]

    batches = list(by_length([len(ids) for ids in sequences]))
    # a session may run in several threads at once, each of which keeps a core busy by itself
    with ThreadPoolExecutor(threads) as pool:
        _follow(pool.map(run, batches), batches, len(texts), say)
    return vectors


def _graph(trunk: Bundle) -> PaddedGraph:
    if GRAPH not in trunk.graphs or pooled_output(trunk.pooling) not in trunk.outputs:
        raise UnsupportedModel(f"--trunk: {trunk.identity} has no graph {GRAPH} that pools")
    verify_files(trunk, [trunk.graphs[GRAPH], _TOKENIZER])
    return PaddedGraph(trunk.file(trunk.graphs[GRAPH]))


def _follow(done: Iterator[None], batches: Sequence[Sequence[int]], count: int, say: Say) -> None:
    """Wait for every batch, and tell of progress a few times."""
    finished, told = 0, 0
    for batch, _ in zip(batches, done, strict=True):
        finished += len(batch)
        if finished * _REPORTS // count > told:
            told = finished * _REPORTS // count
            say(f"  embedded {finished} of {count} texts")
