"""The inputs of a request, from JSON values to what the platform takes.

They are read as plain JSON and typed here: a pydantic union would list every kind of input that
each of thousands of items is not, and none of that helps who sent one wrong item.
"""

from array import array
from collections.abc import Callable, Sequence
from typing import Any, Final

from triptych_gateway.bounds import Bounds, Names
from triptych_gateway.tasks import Input, Pair, TokenIds
from triptych_servicekit.errors import InvalidArgument

Read = Callable[[object, str, Bounds], Input | None]

# No model's: it stands for ids that are too large to be kept.
OUT_OF_RANGE: Final = -1

TEXTS: Final = "a string or a list of token ids"
TEXTS_AND_PAIRS: Final = f'{TEXTS}, or an object with "first" and "second"'


def read_texts(value: object, field: str, bounds: Bounds) -> tuple[Sequence[Input], Names]:
    """Inputs of a string, a list of token ids, or a list of those."""
    return _read(value, field, bounds, _text, TEXTS)


def read_inputs(value: object, field: str, bounds: Bounds) -> tuple[Sequence[Input], Names]:
    """As `read_texts`, and pairs."""
    return _read(value, field, bounds, _text_or_pair, TEXTS_AND_PAIRS)


def read_plain_texts(value: object, field: str, bounds: Bounds) -> tuple[Sequence[str], Names]:
    """Texts of a string or a list of strings."""
    inputs, names = _read(value, field, bounds, _plain_text, "a string")
    return [item for item in inputs if isinstance(item, str)], names


def read_sequences(value: object, field: str, bounds: Bounds) -> tuple[list[TokenIds], Names]:
    """Token ids of one sequence or of a list of sequences."""
    inputs, names = _read(value, field, bounds, _ids, "a list of token ids")
    return [item for item in inputs if isinstance(item, TokenIds)], names


def read_pairs(value: list[Any], field: str, bounds: Bounds) -> tuple[list[Pair], Names]:
    """Pairs given as lists of two strings."""
    bounds.check_count(len(value), field)
    names = Names(f"{field}[{{}}]", f"{field}[{{}}][0]", f"{field}[{{}}][1]")
    for index, item in enumerate(value):
        if type(item) is not list or [type(text) for text in item] != [str, str]:
            raise _wrong(names.of(index), "a list of two strings")
    return [Pair(*item) for item in value], names


def _read(
    value: object, field: str, bounds: Bounds, read: Read, wanted: str
) -> tuple[Sequence[Input], Names]:
    if not isinstance(value, list) or (value and type(value[0]) is int):
        item = read(value, field, bounds)
        if item is None:
            raise _wrong(field, f"{wanted}, or a list of them")
        return [item], Names(field)
    bounds.check_count(len(value), field)
    names = Names(f"{field}[{{}}]")
    return [_required(item, names, i, bounds, read, wanted) for i, item in enumerate(value)], names


def _required(
    value: object, names: Names, index: int, bounds: Bounds, read: Read, wanted: str
) -> Input:
    if type(value) is str and read is not _ids:
        return value
    item = read(value, names.of(index), bounds)
    if item is None:
        raise _wrong(names.of(index), wanted)
    return item


def _ids(value: object, field: str, bounds: Bounds) -> TokenIds | None:
    if not isinstance(value, list):
        return None
    if len(value) > bounds.max_characters:
        return TokenIds(range(len(value)))  # refused by its length: no more of it is needed
    if set(map(type, value)) - {int}:
        raise _wrong(field, "a list of token ids, which are whole numbers")
    try:
        return TokenIds(array("i", value))  # a tenth of the list
    except OverflowError:
        return TokenIds([OUT_OF_RANGE] * len(value))


def _text(value: object, field: str, bounds: Bounds) -> Input | None:
    return value if isinstance(value, str) else _ids(value, field, bounds)


def _plain_text(value: object, field: str, bounds: Bounds) -> Input | None:  # noqa: ARG001
    return value if isinstance(value, str) else None


def _text_or_pair(value: object, field: str, bounds: Bounds) -> Input | None:
    if not isinstance(value, dict):
        return _text(value, field, bounds)
    if value.keys() != {"first", "second"}:
        return None
    first, second = value["first"], value["second"]
    if not isinstance(first, str) or not isinstance(second, str):
        raise _wrong(field, "a pair of strings")
    return Pair(first, second)


def _wrong(field: str, wanted: str) -> InvalidArgument:
    return InvalidArgument(f"{field} must be {wanted}", field=field)
