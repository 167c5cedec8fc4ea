"""From a bundle to a tokenizer that has proven itself on the bundle's golden texts."""

import numpy as np
from tokenizers import Tokenizer

from triptych_bundles import Bundle, BundleError, GoldenVectors, read_golden, verify_files
from triptych_tokenizer.finishing import finish
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Options, Vocabulary, resolve
from triptych_tokenizer.template import read_template

TOKENIZER_FILE = "tokenizer.json"


def load_tokenizer(bundle: Bundle) -> ModelTokenizer:
    """The tokenizer of a bundle.

    Raises BundleError where a file is not the one recorded, or where the golden texts do not come
    out as the golden ids.
    """
    verify_files(bundle, [TOKENIZER_FILE, bundle.golden.texts, bundle.golden.vectors])
    model = ModelTokenizer(*_open(bundle))
    _check_golden(bundle, model, read_golden(bundle))
    return model


def size(bundle: Bundle) -> int:
    """Bytes of what is read of a bundle to serve it; the graph is none of it."""
    record = bundle.files.get(TOKENIZER_FILE)
    return record.bytes if record else 0


def _open(bundle: Bundle) -> tuple[Tokenizer, Vocabulary]:
    path = bundle.file(TOKENIZER_FILE)
    try:
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return tokenizer, _vocabulary(bundle, tokenizer)
    except Exception as error:  # the library raises plain Exception
        raise BundleError(path, f"cannot be used: {error}") from error


def _vocabulary(bundle: Bundle, tokenizer: Tokenizer) -> Vocabulary:
    if tokenizer.get_vocab_size() > bundle.vocab_size:
        raise ValueError(f"it has {tokenizer.get_vocab_size()} tokens, more than the model")
    single, pair = read_template(tokenizer, pair=False), read_template(tokenizer, pair=True)
    return Vocabulary(bundle.vocab_size, bundle.max_length, single, pair, bundle.prompts)


def _check_golden(bundle: Bundle, model: ModelTokenizer, golden: GoldenVectors) -> None:
    # golden ids are those of the bare texts, whatever prompt the bundle adds for its callers
    plan = resolve(Options(), model.vocabulary).without_prompt()
    tokens = model.encode(golden.texts, plan)
    most = len(golden.texts) * plan.max_length
    made = finish(tokens, golden.texts, plan, most).sequences
    same_lengths = np.array_equal(made.lengths, golden.lengths)
    if not (same_lengths and np.array_equal(made.input_ids, golden.input_ids)):
        path = bundle.file(TOKENIZER_FILE)
        raise BundleError(path, "does not turn the golden texts into the golden ids")
