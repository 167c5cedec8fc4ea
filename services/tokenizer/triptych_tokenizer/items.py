"""What a caller wants tokenized, and which of it is refused beforehand."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from triptych_servicekit.callers import Caller
from triptych_servicekit.errors import DeadlineExceeded, InvalidArgument, TriptychError

EMPTY_INPUT = "EMPTY_INPUT"


class TextPair(NamedTuple):
    """Two texts that the model reads together."""

    first: str
    second: str


TokenIds = NDArray[np.int32]
Input = str | TextPair | TokenIds

T = TypeVar("T")

# An item that has failed is its own error from then on; the steps that follow let it pass.
Item = Input | TriptychError


@dataclass(frozen=True, slots=True)
class ItemRules:
    """What an item must keep to."""

    max_characters: int
    vocab_size: int
    pair_refusal: str
    """Why a pair cannot be tokenized with the options of the call, to be read after its name; empty
    where it can."""


def screen(items: Sequence[Item], rules: ItemRules) -> list[Item]:
    """The items, each that breaks a rule replaced by its error."""
    return [_refusal(index, item, rules) or item for index, item in enumerate(items)]


def drop_expired(items: Sequence[T], deadlines: Sequence[float]) -> list[T | TriptychError]:
    """The items, each past its deadline (on the clock of `time.monotonic`) replaced by an error."""
    now = time.monotonic()
    if min(deadlines, default=now) > now:
        return list(items)
    late = DeadlineExceeded("the caller's time ended before the item's turn came")
    return [
        late if deadline <= now and not failed(item) else item
        for item, deadline in zip(items, deadlines, strict=True)
    ]


def deadlines_of(callers: Sequence[Caller]) -> list[float]:
    """The deadline of every item of a call."""
    return [caller.deadline for caller in callers for _ in range(caller.count)]


def failed(item: object) -> bool:
    """Whether an item is an error already."""
    return isinstance(item, TriptychError)


def size(item: Item) -> int:
    """Characters of the item's texts, or its number of token ids: a measure of the work."""
    if isinstance(item, TextPair):
        return len(item.first) + len(item.second)
    return 0 if isinstance(item, TriptychError) else len(item)


def _refusal(index: int, item: Item, rules: ItemRules) -> TriptychError | None:
    if isinstance(item, TriptychError):
        return item
    if isinstance(item, np.ndarray):
        return _refuse_ids(f"inputs[{index}].token_ids.ids", item, rules)
    if isinstance(item, TextPair) and rules.pair_refusal:
        field = f"inputs[{index}].pair"
        return InvalidArgument(f"{field} {rules.pair_refusal}", field=field)
    for name, text in _named_texts(item):
        if not text or len(text) > rules.max_characters or not _is_unicode(text):
            return _refuse_text(f"inputs[{index}].{name}", text, rules)
    return None


def _named_texts(item: str | TextPair) -> Iterator[tuple[str, str]]:
    if isinstance(item, str):
        yield "text", item
    else:
        yield "pair.first", item.first
        yield "pair.second", item.second


def _refuse_text(field: str, text: str, rules: ItemRules) -> InvalidArgument:
    if not text:
        return InvalidArgument(f"{field} is empty", reason=EMPTY_INPUT, field=field)
    if len(text) > rules.max_characters:
        message = f"{field} has {len(text)} characters, at most {rules.max_characters} are read"
        return InvalidArgument(message, reason="INPUT_TOO_LARGE", field=field)
    return InvalidArgument(f"{field} is not valid Unicode: it has a lone surrogate", field=field)


def _is_unicode(text: str) -> bool:
    # Python strings may hold half a surrogate pair; no tokenizer reads that.
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _refuse_ids(field: str, ids: TokenIds, rules: ItemRules) -> InvalidArgument | None:
    if not len(ids):
        return InvalidArgument(f"{field} is empty", reason=EMPTY_INPUT, field=field)
    if len(ids) > rules.max_characters:
        message = f"{field} has {len(ids)} ids, at most {rules.max_characters} are read"
        return InvalidArgument(message, reason="INPUT_TOO_LARGE", field=field)
    if ids.min() < 0 or ids.max() >= rules.vocab_size:
        return InvalidArgument(
            f"{field}: ids must be from 0 to {rules.vocab_size - 1}", field=field
        )
    return None
