"""Tokens of the tiny models' tokenizers, against those that transformers reads."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tokenizers import Tokenizer

from triptych_tokenizer.finishing import finish
from triptych_tokenizer.items import Item, TextPair
from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Columns, Options, Vocabulary, resolve
from triptych_tokenizer.sequences import Column, Sequences
from triptych_tokenizer.template import read_template

PARITY = Path(__file__).parents[2] / "parity"
INPUTS = json.loads((PARITY / "inputs.json").read_bytes())
KINDS = {
    "bert": "wordpiece",
    "distilbert": "wordpiece",
    "electra": "wordpiece",
    "mpnet": "mpnet",
    "roberta": "bytelevel",
    "xlm-roberta": "unigram",
}
MAX_LENGTH = 128
COLUMNS = Columns(offsets=True, word_ids=True, special_tokens_mask=True, sequence_ids=True)


def tokenize(architecture: str, items: list[Item]) -> Sequences:
    library = Tokenizer.from_file(str(PARITY / "tokenizers" / f"{KINDS[architecture]}.json"))
    library.no_padding()
    library.no_truncation()
    single, pair = read_template(library, pair=False), read_template(library, pair=True)
    vocabulary = Vocabulary(library.get_vocab_size(), MAX_LENGTH, single, pair, {})
    plan = resolve(Options(columns=COLUMNS), vocabulary)
    model = ModelTokenizer(library, vocabulary)
    return finish(model.encode(items, plan), items, plan, 10**6).sequences


def rows(sequences: Sequences, column: Column | None) -> list[Any]:
    assert column is not None
    return [row.tolist() for row in np.split(column, np.cumsum(sequences.lengths)[:-1])]


@pytest.mark.parametrize("kind", ["texts", "pairs"])
@pytest.mark.parametrize("architecture", KINDS)
def test_tokens_are_those_of_transformers(architecture: str, kind: str) -> None:
    golden = json.loads((PARITY / "golden" / f"{architecture}.json").read_bytes())[kind]
    items: list[Item] = [one if isinstance(one, str) else TextPair(*one) for one in INPUTS[kind]]
    made = tokenize(architecture, items)
    names = ("input_ids", "offsets", "special_tokens_mask")
    for name in names:
        assert rows(made, getattr(made, name)) == [one[name] for one in golden], name
    texts = [[-1 if text is None else text for text in one["sequence_ids"]] for one in golden]
    assert rows(made, made.sequence_ids) == texts
    if made.token_type_ids is not None:
        assert rows(made, made.token_type_ids) == [one["token_type_ids"] for one in golden]
    else:
        assert not any(any(one["token_type_ids"]) for one in golden)
