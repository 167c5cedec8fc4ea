"""Errors as OpenAI writes them: {"error": {"message", "type", "param", "code"}}."""

import math
from typing import Final

import orjson
from starlette.exceptions import HTTPException

from triptych_gateway.routes.exchange import Answer, Header
from triptych_servicekit.errors import TriptychError
from triptych_servicekit.status import HTTP_STATUS

INTERNAL: Final = "internal error"
# What a client that names no better time waits after 429 and 503.
DEFAULT_RETRY_AFTER: Final = 1.0

_HTTP_MESSAGES: Final = {404: "There is no such route.", 405: "The route has no such method."}
_HTTP_CODES: Final = {404: "not_found", 405: "method_not_allowed"}


class ClientGone(Exception):
    """The client left before its answer."""


def failure(error: Exception) -> Answer:
    """The answer that tells of an error; anything unforeseen is an internal error without words."""
    if isinstance(error, TriptychError):
        return _told(error)
    if isinstance(error, HTTPException):
        return _of_transport(error)
    return Answer(_body(error_object(500, INTERNAL, None, "internal")), 500)


def item_error(error: TriptychError) -> dict[str, str | None]:
    """An item's error inside of an answer."""
    return error_object(HTTP_STATUS[type(error)], error.message, error.field, error.reason.lower())


def error_object(status: int, message: str, param: str | None, code: str) -> dict[str, str | None]:
    """OpenAI's error object."""
    return {"message": message, "type": _kind(status), "param": param, "code": code}


def _told(error: TriptychError) -> Answer:
    status = HTTP_STATUS[type(error)]
    headers: tuple[Header, ...] = ()
    if status in (429, 503):
        seconds = math.ceil(error.retry_after or DEFAULT_RETRY_AFTER)
        headers = ((b"retry-after", b"%d" % seconds),)
    if status == 413:
        # Where the rest of the body ends is not waited for.
        headers = ((b"connection", b"close"),)
    return Answer(_body(item_error(error)), status, headers=headers)


def _of_transport(error: HTTPException) -> Answer:
    status = error.status_code
    message = _HTTP_MESSAGES.get(status, error.detail)
    code = _HTTP_CODES.get(status, "invalid_request")
    headers = tuple(
        (name.lower().encode(), value.encode()) for name, value in (error.headers or {}).items()
    )
    return Answer(_body(error_object(status, message, None, code)), status, headers=headers)


def _kind(status: int) -> str:
    if status == 429:
        return "rate_limit_error"
    return "server_error" if status >= 500 else "invalid_request_error"


def _body(error: dict[str, str | None]) -> bytes:
    return orjson.dumps({"error": error})
