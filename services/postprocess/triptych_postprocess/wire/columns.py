"""Tensors of a request as arrays that fit together."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import types_pb2 as types
from triptych_servicekit.errors import InvalidArgument
from triptych_servicekit.items import check_count
from triptych_servicekit.tensors import FLOATS, INT32, from_tensor

Rows = NDArray[np.floating[Any]]


def read_rows(tensor: types.Tensor, field: str, width: int, limit: int) -> Rows:
    """[N, width] numbers, 1 to `limit` rows. Raises InvalidArgument."""
    rows: Rows = from_tensor(tensor, field, dtypes=FLOATS, dimensions=(2,))
    check_count(len(rows), limit, field)
    if rows.shape[1] != width:
        message = f"{field}: rows have {rows.shape[1]} elements, here they must have {width}"
        raise InvalidArgument(message, field=f"{field}.shape")
    return rows


def read_column(tensor: types.Tensor, field: str, count: int | None = None) -> NDArray[np.int32]:
    """[N] integers, `count` of them where that is given. Raises InvalidArgument."""
    column: NDArray[np.int32] = from_tensor(tensor, field, dtypes=INT32, dimensions=(1,))
    if count is not None and len(column) != count:
        message = f"{field} has {len(column)} elements, here it must have {count}"
        raise InvalidArgument(message, field=field)
    return column


def optional(
    message: Any, name: str, read: Callable[[types.Tensor], NDArray[np.int32]]
) -> NDArray[np.int32] | None:
    """What `read` makes of a tensor that may be left out."""
    return read(getattr(message, name)) if message.HasField(name) else None
