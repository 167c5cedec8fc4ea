"""A tokenizer small enough to be read: one token a word, BERT's special tokens."""

import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing

from triptych_tokenizer.model import ModelTokenizer
from triptych_tokenizer.options import Vocabulary
from triptych_tokenizer.template import read_template

UNK, CLS, SEP = 0, 1, 2
WORDS = 40
MAX_LENGTH = 16


@pytest.fixture
def library() -> Tokenizer:
    words = {"[UNK]": UNK, "[CLS]": CLS, "[SEP]": SEP}
    words |= {f"w{number}": number + len(words) for number in range(WORDS)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS), ("[SEP]", SEP)],
    )
    tokenizer.add_special_tokens(["[CLS]", "[SEP]"])
    return tokenizer


@pytest.fixture
def model(library: Tokenizer) -> ModelTokenizer:
    single, pair = read_template(library, pair=False), read_template(library, pair=True)
    prompts = {"query": "w30 w31 "}
    size = library.get_vocab_size()
    return ModelTokenizer(library, Vocabulary(size, MAX_LENGTH, single, pair, prompts))
