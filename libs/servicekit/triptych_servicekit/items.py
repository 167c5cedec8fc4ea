"""The items of a call: how many there may be, and what became of those that failed."""

from collections.abc import Mapping

from triptych.v1 import types_pb2 as types
from triptych_servicekit.errors import InvalidArgument, PayloadTooLarge, TriptychError
from triptych_servicekit.status import to_status


def check_count(count: int, limit: int, field: str) -> None:
    """Refuse a call without items, or with more than `limit`."""
    if not count:
        raise InvalidArgument(f"{field}: at least one is needed", field=field)
    if count > limit:
        raise PayloadTooLarge(f"{field}: {count} items, at most {limit} are read", field=field)


def write_errors(errors: Mapping[int, TriptychError]) -> list[types.ItemError]:
    """Item errors by position."""
    return [
        types.ItemError(index=index, status=to_status(error))
        for index, error in sorted(errors.items())
    ]
