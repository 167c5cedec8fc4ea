"""Answers as JSON, straight from numpy rows."""

import base64
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

import orjson
from numpy.typing import NDArray

from triptych_bundles.manifest import Bundle
from triptych_gateway.routes.exchange import Answer, Cost
from triptych_gateway.routes.failures import item_error
from triptych_gateway.tasks import Timing
from triptych_servicekit.errors import TriptychError

Encode = Callable[[NDArray[Any]], Any]
Entry = dict[str, Any]


def dump(value: object) -> bytes:
    """JSON of plain values and arrays."""
    return orjson.dumps(value, option=orjson.OPT_SERIALIZE_NUMPY)


def _numbers(row: NDArray[Any]) -> Any:
    return row


def _base64(row: NDArray[Any]) -> str:
    little = row.astype(row.dtype.newbyteorder("<"), copy=False)
    return base64.b64encode(little.tobytes()).decode()


VECTOR_FORMATS: Final[Mapping[str | None, Encode]] = {
    None: _numbers,
    "float": _numbers,
    "base64": _base64,
}


def usage_object(cost: Cost) -> dict[str, int]:
    """Usage; nothing is generated, so both counts are the same."""
    return {"prompt_tokens": cost.tokens, "total_tokens": cost.tokens}


def entries(count: int, errors: Mapping[int, TriptychError], rows: Iterator[Entry]) -> list[Entry]:
    """An entry for each of `count` items: its error, or the next of `rows`."""
    if not errors:
        return [{"index": index, **row} for index, row in enumerate(rows)]
    return [
        {"index": index, "error": item_error(errors[index])}
        if index in errors
        else {"index": index, **next(rows)}
        for index in range(count)
    ]


def native(model: Bundle, data: list[Entry], cost: Cost, timing: Timing) -> Answer:
    """An answer of the /api/v1 shape."""
    identity = {"name": model.name, "version": model.version, "digest": model.digest}
    body = dump({"model": identity, "data": data, "usage": usage_object(cost)})
    return Answer(body, cost=cost, timing=timing)
