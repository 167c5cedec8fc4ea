"""Which word each token is of, for every kind of tokenizer, by the text that a client sends."""

from pathlib import Path

import numpy as np
import pytest
from tokenizers import Tokenizer

from triptych_models.conll import Sentence
from triptych_models.words import NO_WORD, encode_sentences, word_tags

TOKENIZERS = Path(__file__).parents[2] / "parity" / "tokenizers"
SENTENCE = Sentence(("@paulwalk", "'s", "zürich", "(ok)", "x"), ("B-a", "O", "B-b", "O", "I-b"))


@pytest.mark.parametrize("kind", ["wordpiece", "bytelevel", "mpnet", "unigram"])
def test_tokens_of_a_word_spell_it(kind: str) -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZERS / f"{kind}.json"))
    worded = encode_sentences(tokenizer, [SENTENCE])[0]
    encoding = tokenizer.encode(SENTENCE.text)
    assert worded.input_ids.tolist() == encoding.ids
    for number, word in enumerate(SENTENCE.words):
        spelled = "".join(
            SENTENCE.text[start:end]
            for (start, end), own in zip(encoding.offsets, worded.word, strict=True)
            if own == number
        )
        # a byte-level tokenizer gives a character of several bytes to each of its tokens
        assert list(dict.fromkeys(spelled.strip())) == list(dict.fromkeys(word))
    assert worded.word[0] == worded.word[-1] == NO_WORD
    assert worded.begins.sum() == len(SENTENCE.words)


def test_tags_are_those_of_first_tokens_and_what_is_cut_off_has_none() -> None:
    tokenizer = Tokenizer.from_file(str(TOKENIZERS / "wordpiece.json"))
    labels = ("O", "B-a", "I-a")
    worded = encode_sentences(tokenizer, [SENTENCE])[0]
    classes = np.where(worded.begins, 1, 2)
    assert word_tags(SENTENCE, worded, classes, labels) == ["B-a"] * 5
    tokenizer.enable_truncation(4)
    short = encode_sentences(tokenizer, [SENTENCE])[0]
    seen = int(short.word.max()) + 1
    assert seen < 5
    tags = word_tags(SENTENCE, short, np.ones(len(short.word), int), labels)
    assert tags == ["B-a"] * seen + ["O"] * (5 - seen)
