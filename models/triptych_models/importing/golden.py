"""Golden numbers of an imported graph: what it gave here, which pins it everywhere else.

Nothing independent stands behind them, as it does behind a compiled graph's. They show that another
machine computes the same, and that a text's numbers do not depend on what shares its batch.
"""

import json
from collections.abc import Sequence

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from safetensors.numpy import save
from tokenizers import Tokenizer

from triptych_bundles import HIDDEN_OUTPUT, Bundle, disagreement, read_golden, verify_files
from triptych_models.errors import GoldenMismatch, UnsupportedModel
from triptych_models.golden import GoldenFiles, reference_texts
from triptych_models.importing.session import Ids, ImportedSession
from triptych_models.tokenization import encode

_SOURCE = "the imported graph itself, in onnxruntime"
# texts in their written order: short and long ones share a batch, so padding is tested
_MIXED_BATCH = 8


def graph_golden(
    session: ImportedSession, outputs: Sequence[str], tokenizer: Tokenizer
) -> GoldenFiles:
    """Run the reference texts, each alone; `outputs` without the hidden states are kept."""
    texts = reference_texts()
    pairs = zip(texts, encode(tokenizer, texts), strict=True)
    # a tokenizer without special tokens may make nothing of a text
    made = [(text, ids) for text, ids in pairs if len(ids)]
    if not made:
        raise UnsupportedModel("the tokenizer makes no token of any of the golden texts")
    sequences = [ids for _, ids in made]
    kept = [name for name in outputs if name != HIDDEN_OUTPUT]
    tensors: dict[str, NDArray[np.generic]] = {
        "input_ids": np.concatenate(sequences),
        "lengths": np.array([len(ids) for ids in sequences], np.int32),
        **session.rows(sequences, kept, batch_size=1),
    }
    source = f"{_SOURCE} {onnxruntime.__version__}: consistency, not parity"
    packed = save(tensors, metadata={"source": source})
    return GoldenFiles(json.dumps([text for text, _ in made]).encode(), packed, source)


def check_bundle(bundle: Bundle) -> None:
    """Hashes, and every output of the graph as it lies in the bundle, in mixed batches.

    Raises BundleError for files and GoldenMismatch where texts disturb each other.
    """
    verify_files(bundle)
    golden = read_golden(bundle)
    for file in bundle.graphs.values():
        session = ImportedSession(bundle.file(file))
        rows = session.rows(golden.sequences(), list(golden.outputs), _MIXED_BATCH)
        for output, actual in rows.items():
            reason = disagreement(bundle, output, actual, golden)
            if reason:
                why = "the graph does not leave padding out"
                raise GoldenMismatch(f"in a batch of {_MIXED_BATCH} {reason}: {why}")


def longest(max_length: int, vocab_size: int, most: int) -> list[Ids]:
    """A text of the greatest length, `most` at most, of the greatest id.

    That id is not padding, which some models give no positions.
    """
    return [np.full(min(max_length, most), vocab_size - 1, np.int32)]
