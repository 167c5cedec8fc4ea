"""The error tree on the wire: google.rpc.Status with details, there and back."""

from collections.abc import Sequence
from typing import Final

import grpc
import grpc.aio
from google.protobuf.any_pb2 import Any
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from triptych_servicekit.errors import (
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    ModelNotLoaded,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    PermissionDenied,
    TriptychError,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

ERROR_DOMAIN: Final = "triptych.dev"
DETAILS_KEY: Final = "grpc-status-details-bin"

GRPC_CODES: Final[dict[type[TriptychError], grpc.StatusCode]] = {
    InvalidArgument: grpc.StatusCode.INVALID_ARGUMENT,
    PayloadTooLarge: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    ModelNotLoaded: grpc.StatusCode.FAILED_PRECONDITION,
    Unimplemented: grpc.StatusCode.UNIMPLEMENTED,
    Overloaded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Unavailable: grpc.StatusCode.UNAVAILABLE,
    DeadlineExceeded: grpc.StatusCode.DEADLINE_EXCEEDED,
    Internal: grpc.StatusCode.INTERNAL,
}

HTTP_STATUS: Final[dict[type[TriptychError], int]] = {
    InvalidArgument: 400,
    PayloadTooLarge: 413,
    Unauthenticated: 401,
    PermissionDenied: 403,
    NotFound: 404,
    ModelNotLoaded: 503,
    Unimplemented: 501,
    Overloaded: 429,
    Unavailable: 503,
    DeadlineExceeded: 504,
    Internal: 500,
}

_ERRORS: Final[dict[grpc.StatusCode, type[TriptychError]]] = {
    grpc.StatusCode.INVALID_ARGUMENT: InvalidArgument,
    grpc.StatusCode.UNAUTHENTICATED: Unauthenticated,
    grpc.StatusCode.PERMISSION_DENIED: PermissionDenied,
    grpc.StatusCode.NOT_FOUND: NotFound,
    grpc.StatusCode.FAILED_PRECONDITION: ModelNotLoaded,
    grpc.StatusCode.UNIMPLEMENTED: Unimplemented,
    grpc.StatusCode.RESOURCE_EXHAUSTED: Overloaded,
    grpc.StatusCode.UNAVAILABLE: Unavailable,
    grpc.StatusCode.DEADLINE_EXCEEDED: DeadlineExceeded,
}
_CODES_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


def to_status(error: TriptychError) -> Status:
    """Status of an error, with ErrorInfo and, where they apply, BadRequest and RetryInfo."""
    details = [ErrorInfo(reason=error.reason, domain=ERROR_DOMAIN)]
    status = Status(code=GRPC_CODES[type(error)].value[0], message=error.message)
    if error.field is not None:
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(BadRequest(field_violations=[violation]))
    if error.retry_after is not None:
        retry = RetryInfo()
        retry.retry_delay.FromMilliseconds(round(error.retry_after * 1000))
        details.append(retry)
    for detail in details:
        status.details.add().Pack(detail)
    return status


def from_status(status: Status) -> TriptychError:
    """The error that a Status, e.g. of an ItemError, stands for."""
    code = _CODES_BY_NUMBER.get(status.code, grpc.StatusCode.INTERNAL)
    return _build(code, status.message, status.details)


def from_rpc_error(failure: grpc.aio.AioRpcError) -> TriptychError:
    """The error behind a failed call.

    Codes that no service of ours answers with on purpose (UNKNOWN, INTERNAL from a proxy) come out
    as Internal, and its message keeps the peer's words from the caller.
    """
    status = Status()
    for key, value in failure.trailing_metadata() or ():
        if key == DETAILS_KEY and isinstance(value, bytes):
            _parse(status, value)
    return _build(failure.code(), failure.details() or "", status.details)


def _parse(status: Status, data: bytes) -> None:
    try:
        status.ParseFromString(data)
    except DecodeError:
        status.Clear()


def _build(code: grpc.StatusCode, message: str, details: Sequence[Any]) -> TriptychError:
    kind = _ERRORS.get(code, Internal)
    info, bad, retry = ErrorInfo(), BadRequest(), RetryInfo()
    for detail in details:
        for target in (info, bad, retry):
            if detail.Is(target.DESCRIPTOR):
                detail.Unpack(target)
    return kind(
        message if kind is not Internal else "internal error",
        reason=info.reason or None,
        field=bad.field_violations[0].field if bad.field_violations else None,
        retry_after=retry.retry_delay.ToMilliseconds() / 1000
        if retry.HasField("retry_delay")
        else None,
    )
