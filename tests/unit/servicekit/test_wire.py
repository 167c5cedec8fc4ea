"""Tensors, errors and callers on the wire."""

import time
from typing import Any

import numpy as np
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import ErrorInfo
from hypothesis import given
from hypothesis import strategies as st

from triptych.v1 import types_pb2 as types
from triptych_servicekit import errors
from triptych_servicekit.callers import read_callers
from triptych_servicekit.durations import set_seconds
from triptych_servicekit.status import GRPC_CODES, HTTP_STATUS, from_status, to_status
from triptych_servicekit.tensors import DTYPES, FLOATS, from_tensor, to_tensor


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=str)
def test_tensors_come_back_as_they_were(dtype: np.dtype[Any]) -> None:
    array = np.arange(12).reshape(3, 4).astype(dtype)
    back = from_tensor(to_tensor(array), "x", dtypes=DTYPES, dimensions=(2,))
    np.testing.assert_array_equal(back, array)
    assert back.dtype == dtype


def test_arrays_that_are_not_contiguous_or_little_endian() -> None:
    array = np.arange(12, dtype=">f4").reshape(3, 4).T
    back = from_tensor(to_tensor(array), "x", dtypes=FLOATS, dimensions=(2,))
    np.testing.assert_array_equal(back, array)


@pytest.mark.parametrize(
    ("tensor", "field"),
    [
        (types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=[2], data=b"1234"), "x.data"),
        (types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=[2**62, 4], data=b""), "x.data"),
        (types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=[-1], data=b""), "x.shape"),
        (types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=[1, 1, 1], data=b"1234"), "x.shape"),
        (types.Tensor(dtype=types.DATA_TYPE_UNSPECIFIED, shape=[1], data=b"1234"), "x.dtype"),
        (types.Tensor(dtype=types.DATA_TYPE_INT32, shape=[1], data=b"1234"), "x.dtype"),
        (types.Tensor(), "x.dtype"),
    ],
)
def test_a_tensor_that_lies_is_refused(tensor: types.Tensor, field: str) -> None:
    with pytest.raises(errors.InvalidArgument) as refused:
        from_tensor(tensor, "x", dtypes=FLOATS, dimensions=(1, 2))
    assert refused.value.field == field


@given(st.binary(max_size=64), st.lists(st.integers(-(2**40), 2**40), max_size=6))
def test_no_tensor_does_worse_than_being_refused(data: bytes, shape: list[int]) -> None:
    tensor = types.Tensor(dtype=types.DATA_TYPE_FLOAT32, shape=shape, data=data)
    try:
        array = from_tensor(tensor, "x", dtypes=FLOATS, dimensions=(1, 2))
    except errors.InvalidArgument:
        return
    assert array.nbytes == len(data)


@pytest.mark.parametrize("kind", GRPC_CODES)
def test_every_error_survives_the_wire(kind: type[errors.TriptychError]) -> None:
    error = kind("what was wrong", reason="WHY", field="inputs[3]", retry_after=1.5)
    back = from_status(to_status(error))
    assert GRPC_CODES[type(back)] == GRPC_CODES[kind]
    assert (back.reason, back.field, back.retry_after) == ("WHY", "inputs[3]", 1.5)
    assert kind in HTTP_STATUS


def test_a_status_carries_error_info() -> None:
    status = to_status(errors.ModelNotLoaded("not here"))
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.reason, info.domain) == ("MODEL_NOT_LOADED", "triptych.dev")


def test_the_words_of_an_internal_error_stay_inside() -> None:
    status = to_status(errors.Internal("segment 7 at 0xdeadbeef"))
    assert str(from_status(status)) == "internal error"


class Call:
    """A call with so many seconds left."""

    def __init__(self, remaining: float | None) -> None:
        self._remaining = remaining

    def time_remaining(self) -> float | None:
        return self._remaining


def test_a_direct_caller_is_the_call_itself() -> None:
    (caller,) = read_callers([], 7, Call(5), 60)
    assert (caller.start, caller.count) == (0, 7)
    assert caller.deadline == pytest.approx(time.monotonic() + 5, abs=0.5)
    (caller,) = read_callers([], 7, Call(None), 60)
    assert caller.deadline == pytest.approx(time.monotonic() + 60, abs=0.5)


def test_contexts_are_runs_over_the_items() -> None:
    soon = types.CallContext(item_count=2, priority=types.PRIORITY_HIGH, request_id="x" * 500)
    soon.timeout.FromMilliseconds(1500)
    first, second = read_callers([soon, types.CallContext(item_count=3)], 5, Call(9), 60)
    assert (first.start, first.count, second.start, second.count) == (0, 2, 2, 3)
    assert first.deadline == pytest.approx(time.monotonic() + 1.5, abs=0.5)
    assert second.deadline == pytest.approx(time.monotonic() + 9, abs=0.5)
    assert first.priority == types.PRIORITY_HIGH
    assert len(first.request_id) == 128
    with pytest.raises(errors.InvalidArgument, match="adds up to 5, the request has 6"):
        read_callers([soon, types.CallContext(item_count=3)], 6, Call(9), 60)


@pytest.mark.parametrize("seconds", [0.0, 1e-9, 0.25, 59.999_999_9, 60.0, 3600.5])
def test_durations_are_the_librarys_own_to_a_nanosecond(seconds: float) -> None:
    made, own = Duration(), Duration()
    set_seconds(made, seconds)
    own.FromNanoseconds(round(seconds * 1e9))
    assert abs(made.ToNanoseconds() - own.ToNanoseconds()) <= 1
