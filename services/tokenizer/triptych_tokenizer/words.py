"""Which tokens form a word, by the rule of transformers' TokenClassificationPipeline.

A token goes on with the word before it, by `gather_pre_entities` of transformers 4.57 and 5:

- where the tokenizer's model has a `continuing_subword_prefix` (WordPiece): if the token's own
  string is not as long as the text that it stands for, be it for the prefix or for what
  normalising took from the text;
- elsewhere (BPE, Unigram, WordLevel): if it is not at the beginning of the text, and neither its
  first character nor the one before is a space;
- never, if it is the unknown token.

The first token of a text always begins a word. The library's own word ids are those of its
pre-tokenizer, and others: there a punctuation mark is a word, and a text without spaces is one.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_tokenizer.ragged import run_starts

NO_WORD = -1
NO_TOKEN = -1
SPACE = ord(" ")
# What models call their unknown token where tokenizer.json does not say: a byte-level BPE needs
# none, so only a text that spells it out has it.
UNKNOWN_TOKENS = ("<unk>", "[UNK]")

Column = NDArray[np.int32]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class WordRule:
    """How a tokenizer's tokens tell where words begin."""

    token_characters: Column | None
    """[vocabulary]: characters of each token's string; None where spaces tell."""
    unknown_id: int
    """Id of the unknown token, NO_TOKEN where there is none."""


@dataclass(frozen=True, slots=True)
class Spans:
    """T tokens of K texts, one text after the other, and what they stand for."""

    ids: Column
    """[T]"""
    offsets: Column
    """[T, 2], in code points of the texts with their prompt"""
    lengths: NDArray[np.int64]
    """[K]: tokens of each text"""
    texts: Sequence[str]
    """[K], without the prompt"""
    prompt: int
    """Characters of the prompt before every text"""


def read_word_rule(tokenizer: Tokenizer) -> WordRule:
    """The rule for a tokenizer."""
    unknown = _unknown_id(tokenizer)
    if not getattr(tokenizer.model, "continuing_subword_prefix", None):
        return WordRule(None, unknown)
    vocabulary = tokenizer.get_vocab(with_added_tokens=True)
    characters = np.zeros(max(vocabulary.values()) + 1, np.int32)
    characters[list(vocabulary.values())] = list(map(len, vocabulary))
    return WordRule(characters, unknown)


def number_words(rule: WordRule, spans: Spans) -> Column:
    """int32 [T]: the word of every token, counted from 0 in each text; NO_WORD in the prompt."""
    prompts = _in_prompt(spans)
    first_rows, has_words = _first_rows(prompts, spans.lengths)
    begins = ~_continues(rule, spans) & ~prompts
    begins[first_rows[has_words]] = True
    # the first token of each text makes the count one higher than its own words need
    counted = np.cumsum(begins, dtype=np.int32)
    before = np.zeros(len(first_rows), np.int32)
    before[has_words] = counted[first_rows[has_words]]
    words: Column = counted - np.repeat(before, spans.lengths)
    words[prompts] = NO_WORD
    return words


def _in_prompt(spans: Spans) -> Flags:
    # without a prompt, tokens that stand for nothing may end at 0 too
    return (spans.offsets[:, 1] <= spans.prompt) & (spans.prompt > 0)


def _first_rows(prompts: Flags, lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], Flags]:
    """[K]: the first token after the prompt of each text, and whether there is one."""
    starts = run_starts(lengths)
    counted = np.concatenate([[0], np.cumsum(prompts, dtype=np.int64)])
    skipped = counted[starts + lengths] - counted[starts]
    return starts + skipped, skipped < lengths


def _continues(rule: WordRule, spans: Spans) -> Flags:
    own = np.maximum(spans.offsets - spans.prompt, 0)
    if rule.token_characters is None:
        continues = _joined(own[:, 0], spans)
    else:
        continues = rule.token_characters[spans.ids] != own[:, 1] - own[:, 0]
    known: Flags = spans.ids != rule.unknown_id
    return continues & known


def _joined(starts: Column, spans: Spans) -> Flags:
    # A mark ends every text, so that a token at the very end looks at nothing of the next one.
    marked = "".join(f"{text}\0" for text in spans.texts)
    spaces = np.frombuffer(marked.encode("utf-32-le"), "<u4") == SPACE
    text_starts = run_starts(np.array([len(text) + 1 for text in spans.texts], np.int64))
    position = np.repeat(text_starts, spans.lengths) + starts
    joined: Flags = (starts > 0) & ~spaces[position - 1] & ~spaces[position]
    return joined


def _unknown_id(tokenizer: Tokenizer) -> int:
    model: Any = tokenizer.model
    if hasattr(model, "unk_token"):
        names = (model.unk_token, *UNKNOWN_TOKENS) if model.unk_token else UNKNOWN_TOKENS
        found = (tokenizer.token_to_id(name) for name in names)
        return next((token for token in found if token is not None), NO_TOKEN)
    # of a Unigram model the library tells it in no other way
    unknown = json.loads(tokenizer.to_str())["model"].get("unk_id")
    return NO_TOKEN if unknown is None else int(unknown)
