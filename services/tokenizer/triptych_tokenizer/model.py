"""A model's tokenizer: texts to tokens and back, in the calling thread."""

import os
from collections.abc import Callable, Sequence

import numpy as np
from tokenizers import Encoding, Tokenizer

from triptych_servicekit.errors import TriptychError
from triptych_tokenizer.items import Item, TextPair, TokenIds
from triptych_tokenizer.options import Columns, Plan, Vocabulary
from triptych_tokenizer.tokens import Texts, Tokens, collect, overlay, wrap
from triptych_tokenizer.words import read_word_rule

# The library's own thread pool spins while it waits: 107 µs of CPU a text instead of 70, and 17,000
# texts a second on two cores where two threads of ours do 28,000 (55 tokens a text). It has no
# other switch than this variable, which it reads at every call.
os.putenv("TOKENIZERS_PARALLELISM", "false")


class ModelTokenizer:
    """The tokenizer of one bundle.

    The library's object is shared by all threads, which is safe for as long as nobody changes its
    settings; so truncation and special tokens are our own work.
    """

    def __init__(self, tokenizer: Tokenizer, vocabulary: Vocabulary) -> None:
        self._tokenizer = tokenizer
        self._words = read_word_rule(tokenizer)
        self.vocabulary = vocabulary

    def encode(self, items: Sequence[Item], plan: Plan) -> Tokens:
        """Tokens of items, neither cut nor surrounded by special tokens; none for failed items."""
        tokens = self._encode_texts(items, plan)
        ready = {2 * i: item for i, item in enumerate(items) if isinstance(item, np.ndarray)}
        if not ready:
            return tokens
        arrays = [plan.single.strip(ids) for ids in ready.values()]
        return overlay(tokens, wrap(len(items), arrays, list(ready), plan.columns))

    def decode(
        self, sequences: Sequence[TokenIds | TriptychError], *, special_tokens: bool
    ) -> list[str | TriptychError]:
        """The texts of sequences whose ids are all of the vocabulary; errors stay what they are."""
        ids = [ids.tolist() for ids in sequences if isinstance(ids, np.ndarray)]
        texts = iter(self._tokenizer.decode_batch(ids, skip_special_tokens=not special_tokens))
        return [ids if isinstance(ids, TriptychError) else next(texts) for ids in sequences]

    def _encode_texts(self, items: Sequence[Item], plan: Plan) -> Tokens:
        own: list[str] = []
        slots: list[int] = []
        for index, item in enumerate(items):
            if isinstance(item, str):
                own.append(item)
                slots.append(2 * index)
            elif isinstance(item, TextPair):
                own += item
                slots += (2 * index, 2 * index + 1)
        texts = Texts(plan.prompt, own, slots)
        encodings = self._encoder(plan.columns)(texts.prompted(), add_special_tokens=False)
        return collect(len(items), texts, encodings, self._words, plan.columns)

    def _encoder(self, columns: Columns) -> Callable[..., list[Encoding]]:
        # the fast one tells neither offsets nor word ids
        return self._tokenizer.encode_batch if columns.traced else self._tokenizer.encode_batch_fast
