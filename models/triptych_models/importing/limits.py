"""How long a text an imported graph takes, and which ids."""

from collections.abc import Mapping
from pathlib import Path
from typing import TypeGuard

from triptych_models.documents import read_optional
from triptych_models.errors import UnsupportedModel

# what configurations call the number of positions
_POSITIONS = ("max_position_embeddings", "n_positions")
# these begin to count behind the id of padding, so that many positions are never reached
_AFTER_PADDING = ("roberta", "xlm-roberta", "xlm-roberta-xl", "camembert", "mpnet", "longformer")
_PADDING_ID = 1
_LONGEST = 1 << 20


def read_vocab_size(config: Mapping[str, object]) -> int:
    """Ids that the graph has embeddings of."""
    size = _count(config, "vocab_size")
    if size is None:
        raise UnsupportedModel("vocab_size in config.json must be a positive whole number")
    return size


def read_max_length(folder: Path, config: Mapping[str, object], chosen: int | None) -> int:
    """In tokens, special tokens included: what is asked for, or what the model's files state."""
    positions = _positions(config)
    sentence = read_optional(folder / "sentence_bert_config.json").get("max_seq_length")
    tokenizer = read_optional(folder / "tokenizer_config.json").get("model_max_length")
    # tokenizers without a limit state 10**30
    stated = [limit for limit in (sentence, tokenizer) if _is_length(limit)]
    length = next(iter(stated), positions) if chosen is None else chosen
    if length is None:
        raise UnsupportedModel("the model's files state no length of text: give --max-length")
    most = _LONGEST if positions is None else positions
    length = min(length, most) if chosen is None else chosen
    if not 2 < length <= most:
        raise UnsupportedModel(f"max length must be between 3 and {most}")
    return length


def _positions(config: Mapping[str, object]) -> int | None:
    rows = next((count for name in _POSITIONS if (count := _count(config, name))), None)
    if rows is None or config.get("model_type") not in _AFTER_PADDING:
        return rows
    padding = config.get("pad_token_id", _PADDING_ID)
    return rows - (padding if isinstance(padding, int) else _PADDING_ID) - 1


def _count(config: Mapping[str, object], name: str) -> int | None:
    value = config.get(name)
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _is_length(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and 2 < value <= _LONGEST
