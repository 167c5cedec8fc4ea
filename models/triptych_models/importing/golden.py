"""Golden numbers of an imported graph: what it gave here, which pins it everywhere else.

Nothing independent stands behind them, as it does behind a compiled graph's. They show that another
machine computes the same, and that a text's numbers do not depend on what shares its batch.
"""

from collections.abc import Sequence
from importlib.metadata import version

import numpy as np
from tokenizers import Tokenizer

from triptych_bundles import HIDDEN_OUTPUT
from triptych_models.errors import UnsupportedModel
from triptych_models.golden import GoldenFiles, computed, reference_texts
from triptych_models.runtime import Ids, PaddedGraph
from triptych_models.tokenization import encode

_SOURCE = "the imported graph itself, in onnxruntime"


def graph_golden(graph: PaddedGraph, outputs: Sequence[str], tokenizer: Tokenizer) -> GoldenFiles:
    """Run the reference texts, each alone; `outputs` without the hidden states are kept."""
    texts = reference_texts()
    pairs = zip(texts, encode(tokenizer, texts), strict=True)
    # a tokenizer without special tokens may make nothing of a text
    made = [(text, ids) for text, ids in pairs if len(ids)]
    if not made:
        raise UnsupportedModel("the tokenizer makes no token of any of the golden texts")
    sequences = [ids for _, ids in made]
    kept = [name for name in outputs if name != HIDDEN_OUTPUT]
    rows = graph.run_all(sequences, kept, batch_size=1)
    source = f"{_SOURCE} {version('onnxruntime')}: consistency, not parity"
    return computed([text for text, _ in made], sequences, rows, source)


def longest(max_length: int, vocab_size: int, most: int) -> list[Ids]:
    """A text of the greatest length, `most` at most, of the greatest id.

    That id is not padding, which some models give no positions.
    """
    return [np.full(min(max_length, most), vocab_size - 1, np.int32)]
