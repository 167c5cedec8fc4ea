"""The tokenizer's file as a bundle holds it, and the ids it gives."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import Tokenizer

from triptych_models.errors import FetchError, UnsupportedModel
from triptych_models.sentence import SentenceSettings


def plain_tokenizer(path: Path) -> bytes:
    """A tokenizer.json without its padding and truncation: both belong to the service."""
    try:
        values = json.loads(path.read_bytes())
        values |= {"truncation": None, "padding": None}
    except (OSError, ValueError, TypeError) as error:
        raise FetchError(f"{path}: cannot be read: {error}") from error
    return json.dumps(values, ensure_ascii=False, separators=(",", ":")).encode()


def load_tokenizer(path: Path, max_length: int) -> Tokenizer:
    """Load a tokenizer that cuts on the right at `max_length` tokens."""
    try:
        tokenizer = Tokenizer.from_file(str(path))
    except Exception as error:  # the library raises nothing narrower
        raise FetchError(f"{path}: is not a tokenizer: {error}") from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_length)
    return tokenizer


def encode(tokenizer: Tokenizer, texts: Sequence[str]) -> list[NDArray[np.int32]]:
    """The ids of each text, special tokens included."""
    return [np.array(encoding.ids, np.int32) for encoding in tokenizer.encode_batch(list(texts))]


def special_tokens(tokenizer: Tokenizer) -> list[str]:
    """Such as [MASK], in the order of their ids."""
    added = sorted(tokenizer.get_added_tokens_decoder().items())
    return [token.content for _, token in added if token.special]


class Vocabulary(Protocol):
    """What is asked of an encoder's configuration."""

    @property
    def vocab_size(self) -> int:
        """Ids that it has rows for."""


def check_tokenizer(tokenizer: Tokenizer, config: Vocabulary, settings: SentenceSettings) -> None:
    """Refuse a tokenizer whose ids the encoder has no rows for, or that needs prepared text."""
    highest = max(tokenizer.get_vocab(with_added_tokens=True).values())
    if highest >= config.vocab_size:
        reason = f"token id {highest} of the tokenizer is beyond vocab_size {config.vocab_size}"
        raise UnsupportedModel(reason)
    normalizer = tokenizer.normalizer
    lower_cases = normalizer is not None and normalizer.normalize_str("A") == "a"
    if settings.lower_case and not lower_cases:
        raise UnsupportedModel("do_lower_case is not supported with a tokenizer that keeps case")
