"""numpy arrays on the wire: raw little-endian bytes, checked before an array is made."""

import math
from collections.abc import Collection
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from triptych.v1 import types_pb2 as types
from triptych_servicekit.errors import InvalidArgument

MAX_DIMENSIONS: Final = 4

DTYPES: Final[dict[int, np.dtype[Any]]] = {
    types.DATA_TYPE_FLOAT32: np.dtype("<f4"),
    types.DATA_TYPE_FLOAT16: np.dtype("<f2"),
    types.DATA_TYPE_INT32: np.dtype("<i4"),
    types.DATA_TYPE_INT64: np.dtype("<i8"),
    types.DATA_TYPE_INT8: np.dtype("i1"),
    types.DATA_TYPE_UINT8: np.dtype("u1"),
}
_NUMBERS: Final = {dtype: number for number, dtype in DTYPES.items()}

FLOATS: Final = (types.DATA_TYPE_FLOAT32, types.DATA_TYPE_FLOAT16)
INT32: Final = (types.DATA_TYPE_INT32,)


def to_tensor(array: NDArray[Any]) -> types.Tensor:
    """A Tensor of an array of one of DTYPES. Raises KeyError for any other type."""
    number = _NUMBERS[array.dtype.newbyteorder("<")]
    little = array.astype(DTYPES[number], copy=False)
    return types.Tensor(dtype=number, shape=array.shape, data=little.tobytes())  # type: ignore[arg-type]


def from_tensor(
    tensor: types.Tensor, field: str, *, dtypes: Collection[int], dimensions: Collection[int]
) -> NDArray[Any]:
    """Read-only array over a Tensor's bytes, without a copy.

    `dtypes` and `dimensions` are what the field allows. Raises InvalidArgument naming `field`; the
    length is checked against the shape in Python integers, which cannot overflow.
    """
    if tensor.dtype not in dtypes:
        raise InvalidArgument(f"{field}: dtype must be {_names(dtypes)}", field=f"{field}.dtype")
    shape = tuple(tensor.shape)
    if len(shape) not in dimensions or len(shape) > MAX_DIMENSIONS or min(shape, default=0) < 0:
        wanted = " or ".join(map(str, dimensions))
        raise InvalidArgument(f"{field}: shape must have {wanted} axes", field=f"{field}.shape")
    dtype = DTYPES[tensor.dtype]
    expected = math.prod(shape) * dtype.itemsize
    if len(tensor.data) != expected:
        raise InvalidArgument(
            f"{field}: data has {len(tensor.data)} bytes, its shape and dtype make {expected}",
            field=f"{field}.data",
        )
    return np.frombuffer(tensor.data, dtype).reshape(shape)


def _names(dtypes: Collection[int]) -> str:
    labels = (types.DataType.Name(types.DataType.ValueType(number)) for number in dtypes)
    return " or ".join(label.removeprefix("DATA_TYPE_") for label in labels)
